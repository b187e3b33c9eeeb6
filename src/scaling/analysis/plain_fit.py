"""A plain power law: least squares on the logs of a few optima."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scaling.analysis.intervals import LEVEL


@dataclass(frozen=True)
class PlainFit:
    """The result of a plain analysis: least squares on the logs of the optima."""

    exponent: float
    error: float  # standard error
    low: float
    high: float
    r_squared: float  # nan if all optima are equal
    constant: float
    count: int


def plain_fit(batch: np.ndarray, lr: np.ndarray) -> PlainFit:
    """Fit log lr on log batch by least squares, with a t interval for the exponent.

    This is the usual analysis of a few optima. It ignores the uncertainty of each optimum, and that
    some optima may be at an end of the grid.

    Args:
        batch: the batch size of each optimum.
        lr: the best learning rate of each.

    Raises:
        ValueError: for fewer than three optima, or a single batch size.
    """
    x, y = np.log(np.asarray(batch, float)), np.log(np.asarray(lr, float))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(
            f"optima: {len(x)}; a line with an interval needs three, at several batch sizes"
        )
    if np.ptp(y) == 0:  # least squares would give rounding errors
        return PlainFit(0.0, 0.0, 0.0, 0.0, math.nan, float(np.exp(y[0])), len(x))
    line = stats.linregress(x, y)
    reach = float(line.stderr * stats.t.ppf((1 + LEVEL) / 2, len(x) - 2))
    slope = float(line.slope)
    return PlainFit(
        exponent=slope, error=float(line.stderr), low=slope - reach, high=slope + reach,
        r_squared=float(line.rvalue**2), constant=float(np.exp(line.intercept)), count=len(x),
    )  # fmt: skip
