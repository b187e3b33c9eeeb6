"""Statistics of the tails of one sample: shape, kurtosis, Student's t and Hill's index."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

SHARES = (0.01, 0.05, 0.1, 0.2)  # of the largest values that Hill's estimator uses
SHAPES = (0.05, 20.0)  # limits of a fitted generalised Gaussian
DEGREES = (0.1, 1000.0)  # limits of a fitted Student's t; at the upper one it is Gaussian


@dataclass(frozen=True)
class Hill:
    """Hill's estimate of a tail index, and from how many of the largest values."""

    k: int
    index: float  # nan for k below 5


class TailFit(NamedTuple):
    """Statistics of one sample."""

    shape: float  # of the generalised Gaussian exp(-|x / scale|**shape)
    excess_kurtosis: float
    degrees: float  # of freedom of the Student's t; inf if a Gaussian fits as well
    preference: float  # log-likelihood per value of the Student's t over the generalised Gaussian
    hill: tuple[float, ...]  # index for each of `SHARES`; nan for fewer than 5 values


def tail_fit(values: np.ndarray) -> TailFit:
    """Fit the tails of values that vary, without exact zeros after centring.

    Both laws are fitted by maximum likelihood, with the median as their centre.
    """
    sizes = np.abs(values - np.median(values))
    sizes = sizes[sizes > 0]
    sizes = sizes / np.median(sizes)  # no fit depends on the scale, and none overflows
    shape, light = generalised_gaussian(sizes)
    degrees, heavy = student(sizes)
    most = top(len(sizes), SHARES[-1]) + 1
    upper = np.sort(np.partition(sizes, -most)[-most:])
    return TailFit(
        shape,
        excess_kurtosis(values),
        degrees,
        heavy - light,
        tuple(hill(upper, top(len(sizes), share)) for share in SHARES),
    )


def top(values: int, share: float) -> int:
    """The number of values in a share of them."""
    return max(1, round(share * values))


def hill(upper: np.ndarray, k: int) -> float:
    """Hill's estimate of the tail index from the k largest sizes (Hill 1975); nan for k below 5.

    The reciprocal of the mean of log(size / threshold), where the threshold is the next largest
    size. A law without a power tail has no index: the estimate then grows as k falls.

    Args:
        upper: sizes in ascending order, more than k of them.
        k: how many of the largest to use.
    """
    if k < 5:
        return math.nan
    excess = float(np.log(upper[-k:] / upper[-k - 1]).mean())
    return 1 / excess if excess > 0 else math.inf


def hill_at(sizes: np.ndarray, share: float) -> Hill:
    """Hill's estimate at the largest share of some sizes."""
    k = top(len(sizes), share)
    return Hill(k, hill(np.sort(np.partition(sizes, -k - 1)[-k - 1 :]), k))


def rises(few: Hill, many: Hill) -> bool:
    """Whether Hill's index at fewer values is too large for a power law.

    Under a power law, the reciprocals differ by a normal error of relative variance
    1/k_few - 1/k_many (partial sums of exponentials; de Haan and Ferreira 2006, theorem 3.2.5).
    Three standard errors and 10 %, for the slow convergence of a Student's t, are allowed.
    """
    if math.isnan(few.index):
        return False
    error = math.sqrt(1 / few.k - 1 / many.k)
    return math.log(few.index / many.index) > math.log(1.1) + 3 * error


def excess_kurtosis(values: np.ndarray) -> float:
    """Fourth central moment over the squared variance, minus 3."""
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()  # the fourth power of gradients underflows
    squares = centred**2
    return float((squares**2).mean() / squares.mean() ** 2 - 3)


def generalised_gaussian(sizes: np.ndarray) -> tuple[float, float]:
    """The shape that fits positive sizes best, and its log-likelihood in nats per value.

    The density of a signed value is exp(-(|x| / s)**shape) shape / (2 s Gamma(1 / shape)); the
    scale s is profiled out (Nadarajah 2005, "A generalized normal distribution", section 6).
    """
    logs = np.log(sizes)

    def slope(log_shape: float) -> float:  # of the log-likelihood over the shape
        shape = math.exp(log_shape)
        weights = np.exp(shape * logs)
        mean = weights.mean()
        return (
            1
            + float(special.digamma(1 / shape)) / shape
            - float(weights @ logs) / len(logs) / mean
            + math.log(shape * mean) / shape
        )

    low, high = map(math.log, SHAPES)
    if slope(low) <= 0:
        shape = SHAPES[0]
    elif slope(high) >= 0:
        shape = SHAPES[1]
    else:
        shape = math.exp(optimize.brentq(slope, low, high, xtol=1e-6))
    scale = math.log(shape * float(np.exp(shape * logs).mean())) / shape
    return shape, math.log(shape / 2) - float(special.gammaln(1 / shape)) - scale - 1 / shape


def student(sizes: np.ndarray) -> tuple[float, float]:
    """The degrees of freedom that fit positive sizes best, and the log-likelihood per value.

    The scale is fitted, too. Degrees of `DEGREES` mean that the best fit lies beyond; the upper
    limit is returned as inf.
    """
    squares = sizes**2

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        degrees, scale = np.exp(point)  # of the squared scale
        ratio = squares / (degrees * scale)
        mean_log = float(np.log1p(ratio).mean())
        share = float((ratio / (1 + ratio)).mean())
        half = (degrees + 1) / 2
        value = (
            float(special.gammaln(half) - special.gammaln(degrees / 2))
            - math.log(degrees * scale * math.pi) / 2
            - half * mean_log
        )
        by_degrees = degrees * (
            float(special.digamma(half) - special.digamma(degrees / 2)) / 2 - mean_log / 2
        ) + (half * share - 0.5)
        return -value, -np.array([by_degrees, half * share - 0.5])

    low, high = map(math.log, DEGREES)
    best = optimize.minimize(
        negative,
        np.array([math.log(4.0), 2 * math.log(1.4)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-7},
    )
    degrees = math.exp(best.x[0])
    return (math.inf if degrees > 0.99 * DEGREES[1] else degrees), -float(best.fun)
