"""How learning rate, batch size and gradient clipping move together, measured one row at a time."""

__version__ = "0.1.0"
