"""Configs of runs: schema, checks, identity, grid and errors."""
