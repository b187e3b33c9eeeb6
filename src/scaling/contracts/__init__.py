"""Interfaces between parts: types, columns, and equality of values."""
