"""Datasets. Each batch follows from (data, seed, index) and from nothing that came before."""
