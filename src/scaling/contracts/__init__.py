"""What the parts promise each other: types, columns, and when two values are the same."""
