"""Reports of rows: the page, its text, its caveats, and TensorBoard."""
