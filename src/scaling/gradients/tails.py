"""The shape of the tails of a sample: Gaussian, Laplace-like, heavy, or of infinite variance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from scaling.contracts.limits import check_choice
from scaling.gradients.tail_bands import Band, Bands, bands, standardised
from scaling.gradients.tail_fits import SHARES, Hill, TailFit, hill_at, rises, tail_fit, top

Verdict = Literal[
    "gaussian", "laplace-like", "heavy, finite variance", "infinite variance", "cannot tell"
]
AXES = ("unstated", "coordinates", "mini-batches", "examples", "time")

LEAST = 100  # values: fewer leave Hill's estimator less than 5 at the top 5 %
LEAST_DRAWS = 10  # draws of a coordinate: with fewer, its own variance hides its tails
GAUSSIAN = (0.875, 1.15)  # shapes as near to the Gaussian's as this are called Gaussian
LAPLACE = (0.8, 1.25)  # and these Laplace-like, however small the sampling error is


@dataclass(frozen=True)
class TailShape:
    """The verdict on the tails of a sample, with the numbers behind it.

    The laws of `bands` are `gaussian`, `laplace`, `student_t_3`, and `student_t_2`, whose variance
    is infinite; the statistics are the fields below, and `hill_1`, `hill_5`, `hill_10`, `hill_20`.
    """

    verdict: Verdict
    reason: str  # the numbers that decided, as a sentence
    axis: str  # what the values were drawn over, as stated
    shape: float  # of the generalised Gaussian exp(-|x / scale|**shape): 2 Gaussian, 1 Laplace
    excess_kurtosis: float  # fourth central moment over the squared variance, minus 3
    degrees: float  # of freedom of the fitted Student's t; inf if a Gaussian fits as well
    preference: float  # log-likelihood per value of the Student's t over the generalised Gaussian
    hill: Mapping[float, Hill]  # top share of sizes -> Hill's index and its k
    bands: Bands  # law -> statistic -> range of 95 % of the law's samples of this size
    values: int  # in the sample
    draws: int  # of each coordinate of a table; 0 for a single sample
    zeros: int  # exact zeros that were left out
    pooled: "TailShape | None"  # of a table: all values together, without standardisation


def tail_shape(values: Any, *, axis: str = "unstated") -> TailShape:
    """Judge the tails of a sample by its shape and by bands of samples of known laws.

    A one-dimensional sample is judged as it is. A table (draws, coordinates) is standardised per
    coordinate before its values are pooled, because Gaussian coordinates of unequal scale look
    heavy-tailed together: with exponentially distributed variances they are exactly Laplace.

    The verdict is `infinite variance` if Hill's index is below the band of Student's t with 2
    degrees of freedom at the top 1 % and at the top 5 %. Finite variance needs an index above both
    bands. Bands are of independent values (or independent coordinates of a table); gradient
    coordinates of one matrix share scales by row and column, so their bands should be wider.

    Args:
        values: at least 100 numbers, as an array or tensor: a sample, or a table with at least 10
            draws of each coordinate. Exact zeros of a sample (rows of an embedding that no token
            used) and coordinates of a table that do not vary are left out and counted in `zeros`.
        axis: what the values are drawn over: `coordinates` at one step; `mini-batches`, one
            projection at fixed weights; `examples`; or `time`, where drift adds to the tails. Only
            the second is about the noise of gradients. It is a label and changes no number.

    Raises:
        ValueError: for values that are not finite, do not vary, or are too few, and for an array
            of more than two dimensions.
    """
    check_choice(AXES, axis=axis)
    array = _array(values)
    if array.ndim == 1:
        kept = array[array != 0]
        zeros = array.size - kept.size
        _check_enough(kept, zeros)
        return _judged(kept, bands(kept.size), axis=axis, draws=0, zeros=zeros)
    draws = len(array)
    if draws < LEAST_DRAWS:
        raise ValueError(
            f"a table of {draws} draws of each coordinate hides their tails; give at least "
            f"{LEAST_DRAWS} rows, or a one-dimensional sample"
        )
    table = array[:, np.ptp(array, axis=0) > 0]
    zeros = array.size - table.size
    _check_enough(table, zeros)
    about: dict[str, Any] = {"axis": axis, "draws": draws, "zeros": zeros}
    raw = bands(table.size, draws, shared=True)
    pooled = _judged(table.ravel(), raw, **about)
    own = bands(table.size, draws)
    # Divided by their own deviation, few draws are bounded, and the index rises: use the median.
    sizes = np.abs(table - np.median(table, axis=0))
    middle = np.median(sizes, axis=0)
    unbounded = (sizes / np.where(middle > 0, middle, np.inf)).ravel()
    unbounded = unbounded[unbounded > 0]  # empty if most draws are equal, as those of rare tokens
    about |= {"pooled": pooled, "unbounded": unbounded if len(unbounded) >= LEAST else None}
    return _judged(standardised(table).ravel(), own, **about)


def _array(values: Any) -> np.ndarray:
    """A float64 array of one or two dimensions, its values finite."""
    if isinstance(values, Tensor):
        values = values.detach().to("cpu").double().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"values of shape {array.shape} must be a sample or a table (draws, coordinates); "
            "ravel them"
        )
    if strange := int((~np.isfinite(array)).sum()):
        raise ValueError(
            f"{strange} of {array.size} values are not finite; leave out steps that diverged"
        )
    return array


def _check_enough(kept: np.ndarray, zeros: int) -> None:
    beside = f" beside {zeros} that are 0 or do not vary" if zeros else ""
    if kept.size < LEAST:
        raise ValueError(f"{kept.size} values{beside} must be at least {LEAST}; draw more")
    if len(np.unique(kept)) < LEAST / 2:
        raise ValueError(f"{len(np.unique(kept))} different values are too few; draw more")


def _judged(
    values: np.ndarray,
    bands: Bands,
    *,
    axis: str,
    draws: int,
    zeros: int,
    pooled: TailShape | None = None,
    unbounded: np.ndarray | None = None,
) -> TailShape:
    """Judge values; `unbounded` are the sizes whose index may rise, by default those of values."""
    fit = tail_fit(values)
    indices = {
        share: Hill(top(values.size, share), index)
        for share, index in zip(SHARES, fit.hill, strict=True)
    }
    few, many = indices[SHARES[0]], indices[SHARES[2]]
    if unbounded is not None:
        few, many = (hill_at(unbounded, share) for share in (SHARES[0], SHARES[2]))
    verdict, reason = _verdict(fit, bands, rises(few, many))
    return TailShape(
        verdict=verdict,
        reason=reason,
        axis=axis,
        shape=fit.shape,
        excess_kurtosis=fit.excess_kurtosis,
        degrees=fit.degrees,
        preference=fit.preference,
        hill=indices,
        bands=bands,
        values=values.size,
        draws=draws,
        zeros=zeros,
        pooled=pooled,
    )


def _verdict(fit: TailFit, bands: Bands, rising: bool) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    edge = [
        (share, index, bands["student_t_2"][f"hill_{100 * share:g}"])
        for share, index in zip(SHARES[:2], fit.hill[:2], strict=True)
        if not math.isnan(index)
    ]
    shown = " and ".join(f"{index:.3g} at the top {share:.0%}" for share, index, _ in edge)
    power, light = _kinds(fit, bands)
    if power and all(index < band.low for _, index, band in edge):
        if rising:
            return "cannot tell", "Hill's index rises as fewer values are used: no power law"
        return "infinite variance", f"Hill's index is {shown}, below a law of index 2 at both"
    gaussian = _near(fit.shape, bands["gaussian"]["shape"], GAUSSIAN)
    laplace = _near(fit.shape, bands["laplace"]["shape"], LAPLACE)
    shape = f"the generalised Gaussian has shape {fit.shape:.3g}"
    finite = all(index > band.high for _, index, band in edge)
    if gaussian and not laplace and not power:
        return "gaussian", f"{shape}; 2 is Gaussian"
    if power and not gaussian:
        law = f"a Student's t with {fit.degrees:.3g} degrees of freedom fits better"
        if finite:
            return "heavy, finite variance", f"{law}; Hill's index is {shown}, above 2 at both"
        return "cannot tell", f"{law}; Hill's index is {shown}, too near to 2 for a verdict"
    if light and laplace and not gaussian:
        return "laplace-like", f"{shape} and fits better than a Student's t; 1 is Laplace"
    if light and finite and fit.shape < bands["laplace"]["shape"].low and not laplace:
        return "heavy, finite variance", f"{shape}, heavier than Laplace; all moments are finite"
    several = (
        "several laws give such samples"
        if power == light
        else "none of these laws gives such samples"
    )
    return "cannot tell", f"{shape}; {several} at this size"


def _kinds(fit: TailFit, bands: Bands) -> tuple[bool, bool]:
    """Whether the likelihoods support a power tail, and whether they support the opposite."""
    laplace, student = (bands[law]["preference"] for law in ("laplace", "student_t_3"))
    middle = (laplace.middle + student.middle) / 2
    power = fit.preference > max(laplace.high, middle) and math.isfinite(fit.degrees)
    light = fit.preference < min(student.low, middle)
    return power, light


def _near(shape: float, band: Band, tolerance: tuple[float, float]) -> bool:
    """Whether a shape lies in a band, or within a factor of its middle."""
    low, high = (factor * band.middle for factor in tolerance)
    return min(low, band.low) <= shape <= max(high, band.high)
