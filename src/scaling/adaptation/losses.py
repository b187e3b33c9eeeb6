"""Losses of adaptation without labels, and their safeguards, from log-probabilities.

`log_probs` is a log-softmax over K classes, one row per example. Working with logs needs no small
constant inside a logarithm. pbar is the mean prediction over the given examples. Its entropy is
smaller on a mini-batch than on the whole query, and smaller still on small batches. Quantities
computed from it are not means over examples.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def entropies(log_probs: Float[Tensor, "*examples classes"]) -> Float[Tensor, "*examples"]:
    """H(p), the entropy of each prediction, in nats: from 0 to log K."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def mean_log_probs(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, " classes"]:
    """Logarithm of the mean prediction, log pbar."""
    return log_probs.logsumexp(dim=0) - math.log(len(log_probs))


def diversity_loss(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """-H(pbar), from -log K, all classes predicted equally often, to 0 (SHOT, arXiv:2002.08546)."""
    return -entropies(mean_log_probs(log_probs))


def diversity_share(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """H(pbar) / log K: 0 if pbar is one class for certain, 1 if it is uniform.

    Raises:
        ValueError: for a single class, which has no entropy.
    """
    return entropies(mean_log_probs(log_probs)) / _most(log_probs)


def normalised_diversity_loss(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """1 - H(pbar) / log K, from 0 to 1 for any K; raises as `diversity_share` does."""
    return 1 - diversity_share(log_probs)


def class_weights(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, " classes"]:
    """1 / pbar of each class, scaled to sum to K, so that rare predictions weigh more.

    Gradients flow through the weights, as in the published study. A class that is almost never
    predicted gets nearly all of the weight.
    """
    return log_probs.shape[1] * (-mean_log_probs(log_probs)).softmax(dim=0)


def class_weighted_entropy(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """Mean entropy, each example weighted by its predicted class (`class_weights`)."""
    weights = class_weights(log_probs)[log_probs.argmax(dim=1)]
    return (weights * entropies(log_probs)).mean()


def adaptive_weight(
    log_probs: Float[Tensor, "examples classes"],
    *,
    base: float,
    threshold: float,
    gain: float,
    ceiling: float,
) -> Float[Tensor, ""]:
    """A weight of the diversity loss that grows as predictions become one-sided.

    It is `base` if s = H(pbar) / log K is at least `threshold`, else `base + gain (threshold - s)`,
    at most `ceiling`. No gradient flows through it. The published study uses 0.1, 0.85, 0.5 and
    0.3. H(pbar) is smaller on small batches, so the weight is larger there.
    """
    share = diversity_share(log_probs.detach())
    raised = (base + gain * (threshold - share)).clamp(max=ceiling)
    return torch.where(share >= threshold, share.new_tensor(base), raised)


def below_margin(
    log_probs: Float[Tensor, "examples classes"], margin: float
) -> Bool[Tensor, " examples"]:
    """Mask of predictions of entropy below `margin` times log K (Niu et al., arXiv:2204.02610).

    They use a margin of 0.4. There may be no such prediction; the mean loss would then be nan.

    Args:
        log_probs: of the examples.
        margin: share of log K; 1 or less excludes uniform predictions.

    Raises:
        ValueError: for a margin that is not positive, or a single class, which has no entropy.
    """
    if not margin > 0:
        raise ValueError(f"margin={margin} must be positive to keep predictions; 0.4 is usual")
    return entropies(log_probs.detach()) < margin * _most(log_probs)


def class_shares(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, " classes"]:
    """Share of the examples predicted as each class."""
    counts = log_probs.argmax(dim=1).bincount(minlength=log_probs.shape[1])
    return counts.to(log_probs.dtype) / len(log_probs)


def class_entropy(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """Entropy of `class_shares` over log K, 0 to 1; raises as `diversity_share` does.

    Unlike H(pbar) it counts the predicted classes, whatever their probability.
    """
    return torch.special.entr(class_shares(log_probs)).sum() / _most(log_probs)


def _most(log_probs: Float[Tensor, "examples classes"]) -> float:
    """The largest entropy, log K."""
    if log_probs.shape[1] < 2:
        raise ValueError("a prediction among one class has no entropy; give at least 2 classes")
    return math.log(log_probs.shape[1])
