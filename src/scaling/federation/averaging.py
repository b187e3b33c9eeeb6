"""What averaging over clients means, in plain arrays: the oracle of what Flower computes."""

from collections.abc import Mapping, Sequence

import numpy as np


def average(
    clients: Sequence[Mapping[str, np.ndarray]], examples: Sequence[int]
) -> dict[str, np.ndarray]:
    """The mean of each array over clients, each counting as often as it has examples.

    w = sum_k n_k w_k / sum_k n_k (McMahan et al., arXiv:1602.05629, algorithm 1), summed in double
    precision. Arrays of whole numbers or truth values are left out: counters have no mean that
    counts anything.

    Args:
        clients: name -> array, of the same names and shapes for each.
        examples: of each client, at least 1.
    """
    share = np.asarray(examples) / np.sum(examples)
    return {
        name: sum(n * client[name].astype(float) for n, client in zip(share, clients, strict=True))
        .astype(first.dtype)
        for name, first in clients[0].items()
        if np.issubdtype(first.dtype, np.floating)
    }  # fmt: skip
