"""Hydra plugins of `scaling`: its sweeper and launchers; light at import."""
