"""The objective of adaptation without labels: an entropy plus a weighted diversity loss."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from scaling.adaptation import losses

ENTROPIES = ("mean", "class_weighted")
DIVERSITIES = ("entropy", "normalised")


class Terms(NamedTuple):
    """The terms of the objective on a batch, and measures of its predictions."""

    entropy: Float[Tensor, ""]  # first term
    diversity: Float[Tensor, ""]  # second term, before its weight
    weight: Float[Tensor, ""]  # of the second; no gradient flows through it
    kept: Float[Tensor, ""]  # share of the examples in the first term
    mean_entropy: Float[Tensor, ""]  # of all predictions, in nats
    diversity_share: Float[Tensor, ""]  # H(pbar) / log K of all predictions


@dataclass(frozen=True, kw_only=True)
class Objective:
    """An entropy plus a weight times a diversity loss, from the predictions of a batch.

    - `entropy`: `mean`, or `class_weighted` as in `losses.class_weighted_entropy`, over the
      predictions that `margin` keeps.
    - `diversity`: `entropy` is -H(pbar), `normalised` is 1 - H(pbar) / log K, over all predictions.
    - `weight` of the diversity loss. With `weight_ceiling` it grows if H(pbar) / log K falls below
      `weight_threshold` (`losses.adaptive_weight`); null keeps it constant.
    - `floor`: a smaller sum is replaced by the floor and has no gradient; null for no floor.
    - `margin`: learn only from predictions whose entropy is below this share of log K; null learns
      from all.

    With `entropy=mean`, `diversity=entropy` and a weight of 1 this is information maximisation,
    mean H(p) - H(pbar) (SHOT, arXiv:2002.08546).

    Raises:
        ValueError: naming the parameter whose value is invalid.
    """

    entropy: str
    diversity: str
    weight: float
    weight_threshold: float | None
    weight_gain: float | None
    weight_ceiling: float | None
    floor: float | None
    margin: float | None

    def __post_init__(self) -> None:
        for key, allowed in {"entropy": ENTROPIES, "diversity": DIVERSITIES}.items():
            if (value := getattr(self, key)) not in allowed:
                raise ValueError(f"{key}={value} must be one of {', '.join(allowed)}")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight={self.weight} must be finite and at least 0")
        adaptive = {"weight_threshold", "weight_gain", "weight_ceiling"}
        given = {key for key in adaptive if getattr(self, key) is not None}
        if given and given != adaptive:
            absent = sorted(adaptive - given)[0]
            raise ValueError(
                f"{absent}=None must be a number if {sorted(given)[0]} is one; an "
                "adaptive weight needs all three, or null for all"
            )
        if self.weight_threshold is not None and not 0 <= self.weight_threshold <= 1:
            raise ValueError(f"weight_threshold={self.weight_threshold} must lie between 0 and 1")
        if self.weight_gain is not None and not 0 <= self.weight_gain < math.inf:
            raise ValueError(f"weight_gain={self.weight_gain} must be finite and at least 0")
        if self.weight_ceiling is not None and not self.weight <= self.weight_ceiling < math.inf:
            raise ValueError(
                f"weight_ceiling={self.weight_ceiling} must be finite and at least "
                f"weight={self.weight}"
            )
        if self.floor is not None and not math.isfinite(self.floor):
            raise ValueError(f"floor={self.floor} must be finite; null is no floor")
        if self.margin is not None and not 0 < self.margin < 1:
            raise ValueError(
                f"margin={self.margin} must lie between 0 and 1, a share of log K; 0.4 is usual, "
                "null keeps every prediction"
            )

    def terms(self, log_probs: Float[Tensor, "examples classes"]) -> Terms:
        """Both terms of a batch; the first is 0, without a gradient, if no example is kept."""
        kept, share = log_probs, log_probs.new_ones(())
        if self.margin is not None:
            sure = losses.below_margin(log_probs, self.margin)
            kept, share = log_probs[sure], sure.to(log_probs.dtype).mean()
        if not len(kept):
            entropy = 0 * log_probs.sum()
        elif self.entropy == "mean":
            entropy = losses.entropies(kept).mean()
        else:
            entropy = losses.class_weighted_entropy(kept)
        diversity = (
            losses.diversity_loss(log_probs)
            if self.diversity == "entropy"
            else losses.normalised_diversity_loss(log_probs)
        )
        detached = log_probs.detach()
        return Terms(
            entropy,
            diversity,
            self._weight(detached),
            share,
            losses.entropies(detached).mean(),
            losses.diversity_share(detached),
        )

    def loss(self, terms: Terms) -> Float[Tensor, ""]:
        """The minimised loss, with the floor."""
        total = terms.entropy + terms.weight * terms.diversity
        return total if self.floor is None else total.clamp(min=self.floor)

    def slope(self, terms: Terms) -> Float[Tensor, ""]:
        """Factor on the gradients of both terms: 0 below the floor, else 1."""
        total = (terms.entropy + terms.weight * terms.diversity).detach()
        return torch.ones_like(total) if self.floor is None else (total >= self.floor).to(total)

    def _weight(self, log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
        if self.weight_threshold is None or self.weight_gain is None or self.weight_ceiling is None:
            return log_probs.new_tensor(self.weight)
        return losses.adaptive_weight(
            log_probs,
            base=self.weight,
            threshold=self.weight_threshold,
            gain=self.weight_gain,
            ceiling=self.weight_ceiling,
        )
