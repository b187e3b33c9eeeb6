"""Learning-rate schedules: factors on the peak, as functions of the step only.

Each takes `steps`, the optimizer steps of the run, and `batch`, so that a warm-up can be given in
steps or in training examples, which differ when the batch size is swept.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from scaling.contracts.words import counted


def constant(optimizer: Optimizer, *, steps: int, batch: int) -> LambdaLR:
    """The peak at every step."""
    return LambdaLR(optimizer, lambda step: 1.0)


def warmup_cosine(
    optimizer: Optimizer,
    *,
    steps: int,
    batch: int,
    warmup_steps: int | None,
    warmup_examples: int | None,
    final: float,
) -> LambdaLR:
    """A linear warm-up, then a decay along half a cosine.

    Loshchilov and Hutter (arXiv:1608.03983, eq. 5), after a warm-up as in Goyal et al.
    (arXiv:1706.02677, section 2.2). The first of w warm-up steps has 1/w of the peak, the last step
    of the run `final`.

    Args:
        optimizer: its learning rate is the peak.
        steps: optimizer steps of the run.
        batch: training examples per step.
        warmup_steps: steps to the peak; or
        warmup_examples: training examples to the peak, rounded to whole steps, at least one unless
            it is 0.
        final: share of the peak at the end, in [0, 1].

    Raises:
        ValueError: for a warm-up longer than the run, or given twice or not at all.
    """
    warmup = _warmup(warmup_steps, warmup_examples, steps, batch)
    _share("final", final)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)


def warmup_stable_decay(
    optimizer: Optimizer,
    *,
    steps: int,
    batch: int,
    warmup_steps: int | None,
    warmup_examples: int | None,
    decay: float,
    final: float,
) -> LambdaLR:
    """A linear warm-up, a constant stretch, then a linear decay over the last share of the run.

    Hu et al. (arXiv:2404.06395, section 4); linear decay as in Hagele et al. (arXiv:2405.18392).

    Args:
        optimizer: its learning rate is the peak.
        steps: optimizer steps of the run.
        batch: training examples per step.
        warmup_steps: steps to the peak; or
        warmup_examples: training examples to the peak, rounded to whole steps, at least one unless
            it is 0.
        decay: share of the run's steps that decay, in [0, 1].
        final: share of the peak at the end, in [0, 1].

    Raises:
        ValueError: if warm-up and decay together are longer than the run, or the warm-up is given
            twice or not at all.
    """
    warmup = _warmup(warmup_steps, warmup_examples, steps, batch)
    _share("decay", decay)
    _share("final", final)
    falling = round(decay * steps)
    if warmup + falling > steps:
        raise ValueError(
            f"decay={decay} takes {falling} of {steps} steps, too many for a "
            f"warm-up of {warmup}; choose a shorter one"
        )

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        left = steps - 1 - step  # steps after this one
        if left >= falling or not falling:  # the optimizer asks for one step more than it takes
            return 1.0
        return final + (1 - final) * max(0, left) / falling

    return LambdaLR(optimizer, factor)


def _warmup(in_steps: int | None, in_examples: int | None, steps: int, batch: int) -> int:
    """Steps of a warm-up given in steps or in examples."""
    if (in_steps is None) == (in_examples is None):
        raise ValueError(
            f"warmup_steps={in_steps} and warmup_examples={in_examples}: give "
            "one of them, and null for the other"
        )
    key, value = ("steps", in_steps) if in_steps is not None else ("examples", in_examples)
    assert value is not None
    if value < 0:
        raise ValueError(f"warmup_{key}={value} must not be negative; 0 is no warm-up")
    warmup = value if key == "steps" else max(round(value / batch), int(value > 0))
    if warmup >= steps:
        raise ValueError(
            f"warmup_{key}={value} is a warm-up of {counted(warmup, 'step')} in a run of {steps}; "
            "choose a shorter one, or a longer run"
        )
    return warmup


def _share(key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{key}={value} must lie between 0 and 1")
