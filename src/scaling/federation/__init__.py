"""Training by clients: what a client does, averaging, rounds, the cache of models."""
