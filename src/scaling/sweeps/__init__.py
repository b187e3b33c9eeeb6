"""Sweeps: the command, its output, and the executors that train its cells."""
