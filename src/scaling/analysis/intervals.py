"""A number and its interval: over replicates, which are seeds or folds, or of a proportion."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A number and the ends of its interval; nan is what cannot be known."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


UNKNOWN = Interval()


def t_interval(values: NDArray[np.float64], *, level: float, fewest: int) -> Interval:
    """The mean of independent values, and Student's interval for what they are drawn about.

    Args:
        values: one of each seed; none at all have no mean.
        level: of the interval, such as 0.95.
        fewest: values, at least 2, that an interval takes; with fewer its ends are nan.
    """
    if not len(values):
        return UNKNOWN
    mean, reach = float(values.mean()), math.nan
    if len(values) >= fewest:
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        reach = error * float(stats.t.ppf((1 + level) / 2, len(values) - 1))
    return Interval(mean, mean - reach, mean + reach)


def weighted_t_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], *, level: float
) -> Interval:
    """The weighted mean of independent values, and an interval that does not trust the weights.

    Weights say how precise each value is thought to be, up to a factor. The standard error takes
    each value's own distance from the mean, so that it is consistent whatever the variances are;
    were they as the weights say, it would be unbiased, and its degrees of freedom are those of
    Satterthwaite. It is the CR2 interval of Bell and McCaffrey (2002, Survey Methodology 28), see
    Pustejovsky and Tipton (doi:10.1080/07350015.2016.1247004), in closed form for a mean. Equal
    weights give `t_interval`; a value that weighs next to nothing is as if it were not there.

    Args:
        values: at least 2.
        weights: of these, positive.
        level: of the interval, such as 0.95.

    Raises:
        ValueError: for fewer values, or a weight that is not positive and finite.
    """
    if len(values) < 2 or len(weights) != len(values):
        raise ValueError(
            f"{len(values)} values and {len(weights)} weights; an interval takes at least 2 of each"
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


def wilson_interval(right: int, of: int, *, level: float) -> Interval:
    """A proportion and its score interval (Wilson, 1927): it never leaves [0, 1], nor is it empty.

    Args:
        right: of `of` independent trials, such as windows classified correctly.
        of: at least 1.
        level: of the interval, such as 0.95.

    Raises:
        ValueError: for counts that are none.
    """
    if not 0 <= right <= of or of < 1:
        raise ValueError(f"right={right} must lie between 0 and of={of}, which must be positive")
    ends = stats.binomtest(right, of).proportion_ci(level, method="wilson")
    return Interval(right / of, float(ends.low), float(ends.high))
