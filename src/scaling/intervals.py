"""A number and its t interval over replicates, which are seeds here."""

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
