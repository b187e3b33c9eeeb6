"""Losses of adaptation without labels, and what guards them: from log-probabilities alone.

`log_probs` is a log-softmax over K classes, one line per example. Everything stays in logs, so that
no constant has to keep a logarithm from zero. Where pbar stands, it is the mean prediction over
the examples given: over a mini-batch its entropy comes out smaller than over the whole query, the
more so the smaller the batch, and what is made of it is no mean over examples.
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
    """H(pbar) / log K: 0 when all examples are given to one class, 1 when to all alike.

    Raises:
        ValueError: for a single class, which has no entropy.
    """
    return entropies(mean_log_probs(log_probs)) / _most(log_probs)


def normalised_diversity_loss(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """1 - H(pbar) / log K, from 0 to 1 whatever K; refusals as in `diversity_share`."""
    return 1 - diversity_share(log_probs)


def information_maximisation(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """Mean H(p) - H(pbar), minus the mutual information of example and prediction.

    Liang et al. (arXiv:2002.08546), and Krause et al. (2010) before them. From -log K, confident
    and balanced, to 0, which predictions that are all alike give, whether they are sure or not.
    """
    return entropies(log_probs).mean() + diversity_loss(log_probs)


def class_weights(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, " classes"]:
    """1 / pbar of each class, scaled to sum to K: rare predictions weigh more.

    Gradients flow through them, as they do in the study that uses them. A class that is hardly ever
    predicted takes nearly all of the weight, and leaves next to none to the others.
    """
    return log_probs.shape[1] * (-mean_log_probs(log_probs)).softmax(dim=0)


def class_weighted_entropy(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """Mean entropy, each example weighing as its predicted class does in `class_weights`."""
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
    """A weight of the diversity loss that grows where predictions become one-sided.

    `base` while H(pbar) / log K is at least `threshold`, else `base` and `gain` times what lacks,
    at most `ceiling`. The study has 0.1, 0.85, 0.5 and 0.3. It is a number: no gradient flows
    through it. Over small batches H(pbar) is smaller, so the same predictions weigh more there.
    """
    share = diversity_share(log_probs.detach())
    raised = (base + gain * (threshold - share)).clamp(max=ceiling)
    return torch.where(share >= threshold, share.new_tensor(base), raised)


def below_margin(
    log_probs: Float[Tensor, "examples classes"], margin: float
) -> Bool[Tensor, " examples"]:
    """Which predictions are sure enough to learn from: entropy under `margin` times log K.

    Niu et al. (arXiv:2204.02610), with 0.4 for the margin. It may keep none, of which a mean
    loss would be nan.

    Args:
        log_probs: of the examples.
        margin: share of log K; 1 or less keeps no prediction that is uniform.

    Raises:
        ValueError: for a margin that is not positive, or a single class, which has no entropy.
    """
    if not margin > 0:
        raise ValueError(f"margin={margin} must be positive, or it keeps nothing; 0.4 is usual")
    return entropies(log_probs.detach()) < margin * _most(log_probs)


def class_shares(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, " classes"]:
    """Share of the examples that each class is predicted for."""
    counts = log_probs.argmax(dim=1).bincount(minlength=log_probs.shape[1])
    return counts.to(log_probs.dtype) / len(log_probs)


def class_entropy(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """Entropy of `class_shares` over log K, 0 to 1; refusals as in `diversity_share`.

    Unlike H(pbar) it takes each example for the class it is given to, however unsure.
    """
    return torch.special.entr(class_shares(log_probs)).sum() / _most(log_probs)


def _most(log_probs: Float[Tensor, "examples classes"]) -> float:
    """The largest entropy, log K."""
    if log_probs.shape[1] < 2:
        raise ValueError("a prediction among one class has no entropy; give at least 2 classes")
    return math.log(log_probs.shape[1])
