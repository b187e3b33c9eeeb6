"""Wrong labels, drawn so that they can be told from the right ones afterwards."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from scaling.seeds import generator_for


class Labels(NamedTuple):
    """What examples are said to show, and what they do show."""

    given: Integer[Tensor, " examples"]
    true: Integer[Tensor, " examples"]

    @property
    def corrupted(self) -> Bool[Tensor, " examples"]:
        """Which labels are wrong."""
        return self.given != self.true


def symmetric(
    true: Integer[Tensor, " examples"], *, classes: int, share: float, seed: int
) -> Labels:
    """Replace a share of labels, each by one drawn uniformly among the *other* classes.

    A new label is never the true one, so `share` is the share of wrong labels: exactly
    `round(share * examples)` of them, drawn without replacement. This is the symmetric noise of
    Ghosh et al. (arXiv:1712.09482). Where all classes are drawn from, a share of 1 / classes of the
    new labels is right by chance, and counts as corrupted all the same.

    Of one seed, the labels that are wrong at a small share are wrong at a larger one, too, and in
    the same way, so that runs that differ in the share alone are paired.

    Args:
        true: labels, 0 to `classes - 1`.
        classes: at least 2.
        share: of labels to replace, in [0, 1).
        seed: of the draw.

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
