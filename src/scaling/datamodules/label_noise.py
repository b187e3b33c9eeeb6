"""Label noise: wrong labels beside the true ones."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from scaling.seeds import generator_for


class Labels(NamedTuple):
    """The given and the true label of each example."""

    given: Integer[Tensor, " examples"]
    true: Integer[Tensor, " examples"]

    @property
    def corrupted(self) -> Bool[Tensor, " examples"]:
        """Whether the given label is wrong."""
        return self.given != self.true


def symmetric(
    true: Integer[Tensor, " examples"], *, classes: int, share: float, seed: int
) -> Labels:
    """Replace a share of labels, each by one drawn uniformly among the *other* classes.

    A new label is never the true one, so exactly `round(share * examples)` labels are wrong. This
    is the symmetric noise of Ghosh et al. (arXiv:1712.09482). In other definitions new labels are
    drawn from all classes, and 1 / classes of them are right by chance.

    With the same seed, the wrong labels of a small share are also those of a larger one. So runs
    that differ only in the share are paired.

    Args:
        true: labels, 0 to `classes - 1`.
        classes: number of classes, at least 2.
        share: share of labels to replace, in [0, 1).
        seed: seed of the draw.

    Raises:
        ValueError: for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"label_noise={share} must lie in [0, 1); 0 leaves all labels as they are")
    draws = generator_for("labels", seed)
    chosen = torch.randperm(len(true), generator=draws)[: round(share * len(true))]
    shifts = torch.randint(1, classes, (len(true),), generator=draws)
    given = true.clone()
    given[chosen] = (true[chosen] + shifts[chosen]) % classes
    return Labels(given, true)
