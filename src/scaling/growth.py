"""Batch sizes that grow while a model adapts, and learning rates that follow a batch size."""

import math

FACTORS = {"fixed": 0.0, "linear": 1.0, "sqrt": 0.5}  # powers of the batch size


def growing_batch(number: int, *, first: int, last: int, passes: int) -> int:
    """The batch size of pass `number`, from 0: doublings from `first` to `last`, spread equally.

    So 16 to 64 over 50 passes is 16 for 17 passes, 32 for 17, and 64 for 16. Where `last` is no
    doubling of `first`, the last step up is shorter than one. After the last pass it stays.

    Args:
        number: of the pass.
        first: batch size of the first pass.
        last: batch size of the last pass, at least `first`.
        passes: over which it grows; at least as many as there are batch sizes.

    Raises:
        ValueError: for sizes that do not grow, or too few passes for all of them.
    """
    if not 1 <= first <= last:
        raise ValueError(f"a batch that grows from {first} to {last} must start at 1 or more")
    sizes = 1 + math.ceil(math.log2(last / first))
    if passes < sizes:
        raise ValueError(
            f"{passes} passes are too few to grow from {first} to {last} in doublings; "
            f"give at least {sizes}"
        )
    if number < 0:
        raise ValueError(f"pass {number} must be 0 or later")
    stage = min(number, passes - 1) * sizes // passes
    return min(first * 2**stage, last)


def scaled_lr(lr: float, *, batch: int, reference: int, rule: str) -> float:
    """The learning rate of a batch size, given that of a reference: `lr (batch / reference)^power`.

    Args:
        lr: at the reference.
        batch: examples per update.
        reference: batch size at which the learning rate is `lr`.
        rule: `fixed`, power 0; `linear`, 1 (Goyal et al., arXiv:1706.02677); or `sqrt`, 1/2
            (Hoffer et al., arXiv:1705.08741).

    Raises:
        ValueError: for an unknown rule, or batch sizes that are not positive.
    """
    if rule not in FACTORS:
        raise ValueError(f"lr_rule={rule} must be one of {', '.join(FACTORS)}")
    if min(batch, reference) < 1:
        raise ValueError(f"batch={batch} and reference={reference} must be at least 1 example")
    return lr * (batch / reference) ** FACTORS[rule]
