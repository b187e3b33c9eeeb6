"""Federated averaging in plain arrays; tests compare Flower with it."""

from collections.abc import Mapping, Sequence

import numpy as np


def average(
    clients: Sequence[Mapping[str, np.ndarray]], examples: Sequence[int]
) -> dict[str, np.ndarray]:
    """The mean of each array over clients, weighted by their numbers of examples.

    w = sum_k n_k w_k / sum_k n_k (McMahan et al., arXiv:1602.05629, algorithm 1), summed in double
    precision. Arrays of integers or booleans are left out: the mean of a counter has no meaning.

    Args:
        clients: name -> array for each client, of the same names and shapes.
        examples: number of examples of each client, at least 1.
    """
    share = np.asarray(examples) / np.sum(examples)
    return {
        name: sum(n * client[name].astype(float) for n, client in zip(share, clients, strict=True))
        .astype(first.dtype)
        for name, first in clients[0].items()
        if np.issubdtype(first.dtype, np.floating)
    }  # fmt: skip
