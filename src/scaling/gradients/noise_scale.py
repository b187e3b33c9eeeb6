"""The gradient noise scale, from squared norms of gradients of small and big batches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.contracts.columns import alike, need
from scaling.contracts.words import counted

LEVEL = 0.95  # of the interval
FEWEST = 10  # probes, or blocks of probes, for an interval
LAST = 0.7  # share of a run's probes, the last ones, that its noise scale is estimated from
DRAWS = 1_999  # of the bootstrap
SIZES = ("small_batch", "big_batch")
NORMS = ("small_norm_squared", "big_norm_squared")

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseScaleEstimate:
    """The noise scale with its 95 % interval, or the reason why it is not identified.

    `value` is nan if it is not identified. `low` may then still be a lower bound, with `high` inf;
    with too few probes both are nan. `noise` and `signal` are unbiased and may be negative.
    """

    value: float  # noise / signal
    low: float
    high: float
    identified: bool
    reason: str  # why not; empty if identified
    unit: str  # of the batch sizes and so of the value, such as tokens
    probes: int
    noise: float  # trace of the covariance of one unit's gradient
    signal: float  # squared norm of the expected gradient


def noise_scale(probes: pd.DataFrame | Mapping[str, Any]) -> NoiseScaleEstimate:
    """Estimate the noise scale `B_simple = tr(Sigma) / |G|^2` from probes of one run.

    A probe is the squared norm of the gradient of a big batch, and the mean of those of small
    batches. As `E |G_B|^2 = |G|^2 + tr(Sigma) / B`, each probe gives unbiased numbers

    - `S = (|G_small|^2 - |G_big|^2) / (1 / small - 1 / big)` of `tr(Sigma)`,
    - `G2 = (big |G_big|^2 - small |G_small|^2) / (big - small)` of `|G|^2`

    (McCandlish et al., arXiv:1812.06162, appendix A.1). Both are averaged over the probes, then
    divided: a mean of ratios is biased.

    The interval is a block bootstrap over probes in their order. It inverts the studentised mean of
    S - B_simple G2, as Fieller (1954) does with Student's t, because a ratio of means is skewed.
    If the interval of `|G|^2` reaches 0, the noise scale may be infinite: it is not identified.
    Probes are assumed to be of independent batches; drawing without replacement from n examples
    multiplies the noise by 1 - big_batch / n, which is ignored.

    It is not the critical batch size, which it can miss by orders of magnitude (Merrill et al.,
    arXiv:2505.23971).

    Args:
        probes: columns `small_batch`, `big_batch`, `small_norm_squared`, `big_norm_squared` of
            gradients before clipping, and `unit`, what the batch sizes count. A table with several
            rows per probe, one for each `layer`, also needs `step`; its layers are summed.

    Raises:
        ValueError: for a missing column, probes of several runs or units, or a big batch that is
            not larger than the small one.
    """
    table = _checked(probes)
    unit = str(table["unit"].iloc[0]) if len(table) else ""
    noise, signal = noise_and_signal(_whole(table))
    return _estimate(noise, signal, unit)


def why_unidentified(probes: int) -> str:
    """The reason why so many finite probes of a run identify no noise scale."""
    if probes < FEWEST:
        return f"{counted(probes, 'probe')}; an interval needs at least {FEWEST}"
    return "noise hides the gradient: the interval of |G|^2 reaches 0, or nearly"


def layer_noise_scales(probes: pd.DataFrame) -> pd.DataFrame:
    """The noise scale of each parameter tensor, as by `noise_scale`.

    Args:
        probes: as for `noise_scale`, with `layer` and `step`.

    Returns:
        `layer` and the fields of `NoiseScaleEstimate`, a row for each layer.

    Raises:
        ValueError: as for `noise_scale`.
    """
    need(probes, "layer", "step")
    parts = probes.groupby("layer", sort=False, observed=True)
    rows = [{"layer": layer, **vars(noise_scale(part))} for layer, part in parts]
    return pd.DataFrame(rows)


def noise_and_signal(probes: pd.DataFrame) -> tuple[Vector, Vector]:
    """Unbiased `tr(Sigma)` and `|G|^2` of each probe; single ones may be negative."""
    small, big = (probes[name].to_numpy(np.float64) for name in SIZES)
    small_norm, big_norm = (probes[name].to_numpy(np.float64) for name in NORMS)
    noise = (small_norm - big_norm) / (1 / small - 1 / big)
    signal = (big * big_norm - small * small_norm) / (big - small)
    return noise, signal


def _checked(probes: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    """The probes as a table."""
    table = probes if isinstance(probes, pd.DataFrame) else pd.DataFrame(dict(probes))
    need(table, *SIZES, *NORMS, "unit")
    alike(table, "study", "run", "unit")
    wrong = table[~((table["small_batch"] > 0) & (table["big_batch"] > table["small_batch"]))]
    if len(wrong):
        small, big = wrong[[*SIZES]].iloc[0]
        raise ValueError(
            f"big_batch={big:g} must be larger than small_batch={small:g}; a batch that is not "
            "split says nothing about noise"
        )
    return table


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each probe, its layers summed."""
    if "layer" not in table:
        return table
    need(table, "step")
    steps = table.groupby("step", sort=True)
    missing = table[[*NORMS]].isna().groupby(table["step"]).any()
    return steps[[*SIZES]].first().join(steps[[*NORMS]].sum().mask(missing))


def _estimate(noise: Vector, signal: Vector, unit: str) -> NoiseScaleEstimate:
    """The ratio of means with its interval."""
    count = len(noise)
    means = (float(noise.mean()), float(signal.mean())) if count else (math.nan, math.nan)

    def unidentified(reason: str, low: float = math.nan) -> NoiseScaleEstimate:
        ends = (low, math.inf) if low > 0 else (math.nan, math.nan)
        return NoiseScaleEstimate(math.nan, *ends, False, reason, unit, count, *means)

    if not np.isfinite([noise, signal]).all():
        return unidentified("some probes are not finite; the run may have diverged")
    if count < FEWEST:
        return unidentified(why_unidentified(count))
    blocks = np.stack([_blocks(noise), _blocks(signal)])
    least, most = _mean_interval(blocks[1])
    low, high = _ratio_interval(blocks) if means[1] else (math.nan, math.nan)  # no gradient at all
    if least <= 0 or math.isnan(high):
        near = "reaches 0" if least <= 0 else "comes too close to 0 for an upper bound"
        bound = f"; the noise scale is at least {low:.3g}" if low > 0 else ""
        return unidentified(f"the interval of |G|^2, {least:.2g} to {most:.2g}, {near}{bound}", low)
    return NoiseScaleEstimate(means[0] / means[1], low, high, True, "", unit, count, *means)


def _blocks(values: Vector) -> Vector:
    """Means of neighbouring probes, which may depend on each other: about n^(1/3) to a block."""
    length = max(1, min(round(len(values) ** (1 / 3)), len(values) // FEWEST))
    return np.array([part.mean() for part in np.array_split(values, len(values) // length)])


def _pivots(values: Vector) -> tuple[float, float]:
    """Quantiles of the studentised mean of values drawn again, at the ends of the interval."""
    centred = values - values.mean()
    rows = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    drawn = centred[rows]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(values))
    means = drawn.mean(axis=1)
    ratios = np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mean_interval(values: Vector) -> tuple[float, float]:
    """The bootstrap-t interval of a mean."""
    low, high = _pivots(values)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - high * error, float(values.mean()) - low * error


def _ratio_interval(blocks: NDArray[np.float64]) -> tuple[float, float]:
    """The ratios R for which the studentised mean of noise - R signal is inside its quantiles.

    The upper end is nan if it is infinite, and both are if every ratio is possible.
    """
    noise, signal = blocks.mean(axis=1)
    low, high = _pivots(blocks[0] - noise / signal * blocks[1])
    covariance = np.cov(blocks) / blocks.shape[1]
    return (
        _crossing(high, (noise, signal), covariance, upper=False),
        _crossing(low, (noise, signal), covariance, upper=True),
    )


def _crossing(
    pivot: float, means: tuple[float, float], covariance: NDArray[np.float64], *, upper: bool
) -> float:
    """The ratio R at which mean(noise - R signal) is `pivot` standard errors."""
    noise, signal = means
    a = signal**2 - pivot**2 * covariance[1, 1]
    b = -2 * (noise * signal - pivot**2 * covariance[0, 1])
    c = noise**2 - pivot**2 * covariance[0, 0]
    inside = b * b - 4 * a * c
    if inside < 0 or (upper and a <= 0):
        return math.nan
    root = math.sqrt(inside)
    if a > 0:
        return float((-b + root) / (2 * a)) if upper else float((-b - root) / (2 * a))
    return float((-b - root) / (2 * a)) if a < 0 else float(-c / b)  # the positive one
