"""Federated training: clients, averaging, rounds, and a cache of models."""
