"""Statistics of gradients: tensors in, tensors out."""
