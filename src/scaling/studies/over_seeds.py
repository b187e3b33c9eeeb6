"""A measure of runs, over their seeds: by itself, or at one value of a key against another."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from scaling.analysis.intervals import t_interval, wilson_interval
from scaling.studies.claims import Claim, Estimate

LEVEL, SEEDS = 0.95, 3
MORE = "three seeds of every setting, or more"
BELOW, ABOVE, FALLS, RISES = (0.0, 1.0), (1.0, math.inf), (-math.inf, 0.0), (0.0, math.inf)


def noted(
    note: int,
    sentence: str,
    region: tuple[float, float],
    statistic: Callable[..., Estimate],
    measure: str,
    **settings: object,
) -> Claim:
    """A claim of the published notes about a measure; `settings` are the statistic's."""
    source = f"published notes, {note}"
    return Claim(sentence, region, partial(statistic, measure=measure, **settings), source)


def over_seeds(block: pd.DataFrame, measure: str, *, positive: bool = True) -> Estimate:
    """A measure of runs that differ in their seed only, by a t interval over its logs.

    A run that lies in two folders is one observation; runs of one seed are averaged.
    """
    if measure not in block:
        return _estimate(np.empty(0), positive=positive)
    values = block.groupby("seed")[measure].mean().dropna()
    return _estimate(values.to_numpy(float), positive=positive)


def in_most(block: pd.DataFrame, happened: str, looked: str) -> Estimate:
    """The share of seeds in which something happened, by a Wilson interval.

    Args:
        block: runs that differ in their seed only.
        happened: column that is missing where it did not.
        looked: column that is missing where nobody looked.
    """
    if looked not in block:
        return Estimate.missing(f"{looked} was not measured")
    seeds = block[block[looked].notna()].groupby("seed")[happened].count() > 0
    if len(seeds) < SEEDS:
        return Estimate.missing(f"seeds with a number: {len(seeds)}; it takes {SEEDS}", MORE)
    found = wilson_interval(int(seeds.sum()), len(seeds), level=LEVEL)
    shown = (
        f"{seeds.sum()} of {len(seeds)} seeds, 95 % interval {found.low:.2g} to {found.high:.2g}"
    )
    return Estimate(found.value, found.low, found.high, shown, "more seeds")


def _estimate(values: np.ndarray, *, positive: bool) -> Estimate:
    if len(values) < SEEDS:
        return Estimate.missing(f"seeds with a number: {len(values)}; it takes {SEEDS}", MORE)
    if positive and (zeros := int((values <= 0).sum())):
        return Estimate.missing(f"{zeros} of {len(values)} seeds have 0, which no factor reaches")
    found = t_interval(np.log(values) if positive else values, level=LEVEL, fewest=SEEDS)
    value, low, high = (
        (math.exp(end) if positive else end) for end in (found.value, found.low, found.high)
    )
    shown = f"{value:.3g}, 95 % interval {low:.3g} to {high:.3g} over {len(values)} seeds"
    return Estimate(value, low, high, shown, "more seeds")


def told(found: Estimate) -> str:
    """A statistic with its interval, as a sentence shows it, or why there is none."""
    known = not math.isnan(found.value)
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})" if known else found.shown


def against(
    block: pd.DataFrame, measure: str, *, key: str, of: object, to: object, positive: bool = True
) -> Estimate:
    """A measure at one value of a key over that at another (or less it), paired by seed."""
    wide = block.pivot_table(index="seed", columns=key, values=measure)
    lacking = [str(value) for value in (of, to) if value not in wide]
    if lacking:
        return Estimate.missing(f"no run at {key}={', '.join(lacking)}", "such a run")
    pairs = wide[[of, to]].dropna()
    values = pairs[of] / pairs[to] if positive else pairs[of] - pairs[to]
    return _estimate(values.to_numpy(float), positive=positive)


def largest_against_smallest(
    block: pd.DataFrame, measure: str, *, key: str, positive: bool = True
) -> Estimate:
    """A measure at the largest value of a key against that at the smallest."""
    low, high = block[key].min(), block[key].max()
    return against(block, measure, key=key, of=high, to=low, positive=positive)
