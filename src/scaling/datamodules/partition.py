"""Partition examples among clients, with skewed labels."""

import numpy as np
from jaxtyping import Integer


def dirichlet_partition(
    labels: Integer[np.ndarray, " examples"],
    clients: int,
    alpha: float,
    rng: np.random.Generator,
) -> list[Integer[np.ndarray, " part"]]:
    """Assign examples to clients, with skewed labels.

    For each class, the clients' shares of its examples are drawn from a symmetric Dirichlet
    distribution (Yurochkin et al., arXiv:1905.12022). A client without examples then gets one from
    the largest client. This makes the skew slightly smaller if `alpha` is small and examples are
    few.

    Args:
        labels: class of each example.
        clients: number of clients.
        alpha: concentration; smaller is more skewed. With inf each client has the same share of
            every class.
        rng: random number generator.

    Raises:
        ValueError: if there are more clients than examples, or a value is not positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha={alpha} must be positive; inf divides labels evenly")
    if not 1 <= clients <= len(labels):
        raise ValueError(
            f"clients={clients} must be from 1 to the number of examples, {len(labels)}; each "
            "client needs at least one"
        )
    parts: list[list[int]] = [[] for _ in range(clients)]
    even = np.full(clients, 1 / clients)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = even if np.isinf(alpha) else rng.dirichlet(np.full(clients, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(int)
        for part, assigned in zip(parts, np.split(members, cuts), strict=True):
            part.extend(assigned.tolist())
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return [np.array(sorted(part)) for part in parts]
