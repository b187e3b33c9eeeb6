"""The published notes on gradients, as claims."""

from collections.abc import Callable
from functools import partial

from scaling.studies.claims import Claim, Estimate


def noted(
    note: int,
    sentence: str,
    region: tuple[float, float],
    statistic: Callable[..., Estimate],
    measure: str,
    **settings: object,
) -> Claim:
    """A claim of the published notes about a measure; `settings` go to the statistic."""
    source = f"published notes, {note}"
    return Claim(sentence, region, partial(statistic, measure=measure, **settings), source)
