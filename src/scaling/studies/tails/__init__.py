"""The study of the tails of gradients."""
