"""Intervals of a mean over replicates (seeds or folds), and of a proportion."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95  # of every interval, unless a caller gives another
FEWEST = 3  # fewest replicates for a reported interval


@dataclass(frozen=True)
class Interval:
    """A number and the ends of its interval; nan if unknown."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


UNKNOWN = Interval()


def check_level(level: float) -> None:
    """Check the level of an interval or test.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1; 0.95 is usual")


def slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slopes of lines over x, such as one line for each seed.

    Args:
        x: at least two different values.
        y: a value for each x, in the last dimension.
    """
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred), np.float64)


def t_interval(
    values: NDArray[np.float64], *, level: float = LEVEL, fewest: int = FEWEST
) -> Interval:
    """The mean of independent values with Student's interval.

    Args:
        values: one for each replicate; without values the mean is nan.
        level: of the interval.
        fewest: fewest values for an interval, at least 2; with fewer its ends are nan.
    """
    if not len(values):
        return UNKNOWN
    mean, reach = float(values.mean()), math.nan
    if len(values) >= fewest:
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        reach = error * float(stats.t.ppf((1 + level) / 2, len(values) - 1))
    return Interval(mean, mean - reach, mean + reach)


def weighted_t_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], *, level: float = LEVEL
) -> Interval:
    """The weighted mean of independent values, with an interval robust to wrong weights.

    Weights are the assumed precisions of the values, up to a factor. The standard error uses the
    distance of each value from the mean, so it is consistent for any variances. It is unbiased if
    the weights are correct, and its degrees of freedom are those of Satterthwaite.
    This is the CR2 interval of Bell and McCaffrey (2002, Survey Methodology 28), see
    Pustejovsky and Tipton (doi:10.1080/07350015.2016.1247004), in closed form for a mean. Equal
    weights give `t_interval`; a value of negligible weight has no influence.

    Args:
        values: at least 2.
        weights: one for each value, positive.
        level: of the interval.

    Raises:
        ValueError: for fewer values, or a weight that is not positive and finite.
    """
    if len(values) < 2 or len(weights) != len(values):
        raise ValueError(
            f"{len(values)} values and {len(weights)} weights; an interval needs at least 2 of each"
        )
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"weights={weights.tolist()} must be positive and finite")
    share = weights / weights.sum()
    mean = float(share @ values)
    factor = share**2 / (1 - share)
    error = math.sqrt(factor @ (values - mean) ** 2)
    freedom = 1 / float((share**2).sum() + factor.sum() ** 2 - (factor**2).sum())
    reach = error * float(stats.t.ppf((1 + level) / 2, freedom))
    return Interval(mean, mean - reach, mean + reach)


def wilson_interval(right: int, of: int, *, level: float = LEVEL) -> Interval:
    """A proportion with its score interval (Wilson, 1927): never empty, always within [0, 1].

    Args:
        right: of `of` independent trials, such as windows classified correctly.
        of: at least 1.
        level: of the interval.

    Raises:
        ValueError: if `right` is not between 0 and `of`, or `of` is less than 1.
    """
    if not 0 <= right <= of or of < 1:
        raise ValueError(f"right={right} must lie between 0 and of={of}, which must be positive")
    ends = stats.binomtest(right, of).proportion_ci(level, method="wilson")
    return Interval(right / of, float(ends.low), float(ends.high))
