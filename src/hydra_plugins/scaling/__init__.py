"""The door through which Hydra finds the sweeper of `scaling`; light at import."""
