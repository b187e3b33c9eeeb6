"""From rows to answers: the page, its text, its caveats, TensorBoard."""
