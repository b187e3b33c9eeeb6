"""Significance of tests: corrected p-values, power, and seeds needed."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Vector = NDArray[np.float64]
POWER = 0.8  # probability of detecting an effect that is called detectable
MOST = 1000  # most seeds to consider for one contrast


def holm(p: Sequence[float] | Vector) -> Vector:
    """Correct p-values for their number by the step-down procedure of Holm (1979).

    The probability of any false rejection is at most the level, under any dependence between tests.
    A nan does not count as a test.

    Raises:
        ValueError: for a p-value outside [0, 1].
    """
    given = np.asarray(p, float)
    if ((given < 0) | (given > 1)).any():
        raise ValueError(f"p={given.tolist()} must lie between 0 and 1")
    order = np.argsort(given)[: np.isfinite(given).sum()]  # nan comes last
    corrected = np.full_like(given, np.nan)
    steps = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers err equally often on the same examples.

    The test of McNemar (1947) uses the examples that only one of the two got right; each is the
    first's with probability 1/2. Examples must be independent: overlapping windows are not.

    Args:
        only_first: examples that the first alone classified correctly.
        only_second: examples that the second alone classified correctly.

    Raises:
        ValueError: for a negative count.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts {only_first} and {only_second} must not be negative")
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


def power(shift: float, seeds: int, level: float) -> float:
    """The power of a two-sided paired t test, by the noncentral t distribution.

    Args:
        shift: true effect, in standard deviations of one seed's difference.
        seeds: at least 2.
        level: 1 minus the level of the test.
    """
    bound = stats.t.ppf((1 + level) / 2, seeds - 1)
    away = min(1e9, abs(shift) * math.sqrt(seeds))  # scipy returns nan far beyond
    # The lower tail as the upper one of the mirror image: nct.cdf is nan if it is tiny.
    return float(stats.nct.sf(bound, seeds - 1, [away, -away]).sum())


@lru_cache
def detectable(seeds: int, level: float) -> float:
    """The effect that is detected with 80 % power, in the unit of `power`."""
    end = 10 + 4 * float(stats.t.ppf((1 + level) / 2, seeds - 1))
    return float(optimize.brentq(lambda shift: power(shift, seeds, level) - POWER, 0.0, end))


def seeds_needed(shift: float, level: float) -> float:
    """Seeds to detect an effect with 80 % power, inf if over 1000; `shift` as for `power`."""
    few, enough = 1, MOST
    if power(shift, MOST, level) < POWER:
        return math.inf
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if power(shift, middle, level) >= POWER else (middle, enough)
    return float(enough)
