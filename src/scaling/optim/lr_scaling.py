"""Learning rates that scale with the batch size."""

from scaling.contracts.limits import check_choice

FACTORS = {"fixed": 0.0, "linear": 1.0, "sqrt": 0.5}  # powers of the batch size


def scaled_lr(lr: float, *, batch: int, reference: int, rule: str) -> float:
    """The learning rate of a batch size, `lr (batch / reference)^power`.

    Args:
        lr: learning rate of the reference batch size.
        batch: examples per update.
        reference: batch size of `lr`.
        rule: `fixed`, power 0; `linear`, 1 (Goyal et al., arXiv:1706.02677); or `sqrt`, 1/2
            (Hoffer et al., arXiv:1705.08741).

    Raises:
        ValueError: for an unknown rule, or batch sizes that are not positive.
    """
    check_choice(FACTORS, lr_rule=rule)
    if min(batch, reference) < 1:
        raise ValueError(f"batch={batch} and reference={reference} must be at least 1 example")
    return lr * (batch / reference) ** FACTORS[rule]
