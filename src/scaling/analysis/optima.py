"""The best learning rate of each batch size: an interval and a status, not a point.

For one batch size and clip the loss of learning rate j and seed s is L_js = m_j + D_s + noise: the
effect D_s of a seed on all its runs is not noise. About the lowest m a bowl A + K g(ln lr - ln
LR_opt) is fitted, where g is LINEX of any skew (`scaling.analysis.loss_surface`), which is z^2 at
skew 0.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis.flatness import FACTOR, flat_below, words
from scaling.analysis.intervals import LEVEL
from scaling.analysis.linex import Bowl, linex
from scaling.analysis.loss_variance import LossVariance
from scaling.analysis.lr_curve import NEAR, Array, Bottom, Curve
from scaling.analysis.memo import once_for_rows
from scaling.analysis.sweep_curves import COLUMNS, SweepCurves, curves_of
from scaling.contracts.words import counted

Status = Literal["interior", "low_edge", "high_edge", "flat", "unresolved", "irregular"]

MISFIT = 0.05  # p-value below which a bowl is not believed
STRICT = 5  # `interior` takes an interval inside the grid at an error rate so many times smaller


@dataclass(frozen=True)
class Optimum:
    """The best learning rate of one batch size and clip. Losses in nats, logs natural.

    `interior`: it lies in the grid, between `low` and `high`. `low_edge`, `high_edge`: it may lie
    beyond this end of the grid, and not beyond the other; `low` is then 0, or `high` inf, and `lr`
    and `loss` are those of the best one tried. `flat`: within a factor of 4 in lr of the best, the
    loss rises by significantly less than `flat`. `unresolved`: there are too few runs, or too much
    noise. `irregular`: the losses near the best do not form a bowl. In the last three `lr`, `low`,
    `high`, `curvature`, `skew` and `loss` are nan.
    """

    batch: float
    clip: float
    lr: float = math.nan
    low: float = math.nan
    high: float = math.nan
    curvature: float = math.nan  # second derivative of loss by log lr at the optimum; nan at edges
    skew: float = math.nan  # of the bowl: its right side is steeper if positive
    depth: float = math.inf  # upper bound on the loss's rise within a factor of 4 in lr of the best
    loss: float = math.nan  # at the optimum
    status: Status = "unresolved"
    reason: str = ""
    seeds: int = 0  # at most 20: more are averaged in 20 groups
    has_bowl: bool = False  # the interval is that of a bowl with both its sides in the grid

    def bowl(self, lr: Array) -> Array:
        """The fitted loss at learning rates near the optimum; nan without a fitted bowl."""
        distance = np.log(np.asarray(lr, float) / self.lr)
        return self.loss + self.curvature / 2 * linex(distance, self.skew)


@once_for_rows(*COLUMNS)
def optimum(
    rows: pd.DataFrame, *, flat: float | None = None, level: float = LEVEL
) -> tuple[Optimum, ...]:
    """Estimate the best learning rate of each batch size and clip, sorted.

    A bowl is fitted to the five learning rates about the best one, or to as many more as show both
    its sides. The interval is that of a likelihood ratio, widened to hold the minima of a parabola
    through three and of a cubic through five learning rates. On a side without a bowl it ends at
    the nearest learning rate that is significantly worse than one before it, or diverged.

    Noise is the scatter of seeds about the five, pooled over batch sizes if they are few; with one
    seed, that of the losses about bowls of one shape; without either, the status is read off the
    grid. See `scaling.analysis.loss_variance`.
    An lr at which a run diverged, or was unstable (`scaling.analysis.near_optimum`), bounds the
    optimum; runs beyond it are left out. `val_loss_se` is not used: runs share their validation
    data, so it is not the error of a difference.

    Args:
        rows: columns `batch`, `lr`, `clip`, `seed`, `status` and `val_loss` in nats, of runs that
            differ in nothing else; as `scaling.results.read` gives them. A missing clip is inf.
        flat: rise of the loss in nats below which the optimum is flat; 0.1 % of the lowest loss of
            its batch size, and at least 0.001, if not given.
        level: of the interval, and of the one-sided bound on the depth.

    Raises:
        ValueError: if a column is absent, or the batch or lr of a finished run is not positive and
            finite, or its seed is missing.
    """
    answers = []
    for sweep in curves_of(rows):
        for batch, curve in sweep.of_batch.items():
            blank = Optimum(batch, sweep.clip, seeds=curve.seeds)
            answers.append(_judged(blank, curve, sweep, flat, 1 - level))
    return tuple(sorted(answers, key=lambda one: (one.batch, one.clip)))


def _judged(
    blank: Optimum, curve: Curve, sweep: SweepCurves, flat: float | None, error: float
) -> Optimum:
    x, count = curve.x, len(curve.x)
    if not count and len(curve.bad):
        return replace(blank, status="irregular", reason="a run diverged at every learning rate")
    if count < 3:
        return replace(blank, reason=f"losses at {counted(count, 'learning rate')}; a bowl needs 3")
    peers = [peer for peer in sweep.of_batch.values() if len(peer.x)]
    noise = LossVariance.of(curve, peers, sweep.beside)
    if not noise.freedom:
        return _by_grid(blank, curve)
    differences, spread = curve.y[:, None] - curve.y, np.diag(curve.spread)
    errors = np.sqrt(noise.value * (spread[:, None] + spread - 2 * curve.spread).clip(0))
    best, steps = curve.best, np.abs(np.arange(count) - curve.best)
    beside = (np.abs(x - x[best]) <= FACTOR + 1e-6) | (steps == 1)
    rises = differences[:, best] + stats.t.isf(error, noise.freedom) * errors[:, best]
    worse = curve.bad[np.abs(curve.bad[:, 0] - x[best]) <= FACTOR + 1e-6, 1] - curve.y[best]
    blank = replace(blank, depth=float(max(rises[beside].max(), worse.max(initial=-math.inf))))
    significant = differences > stats.t.isf(error / count / (count - 1), noise.freedom) * errors
    falls = np.triu(significant).any(1)  # to one above
    rises = np.tril(significant).any(1)  # from one below
    near = np.isin(curve.lr, curve.near(NEAR).lr)
    dips = significant & near & near[:, None]
    if (np.triu(dips).any(1) & np.tril(dips).any(1)).any():
        reason = "near the best, a learning rate is significantly worse than one on each side"
        return replace(blank, status="irregular", reason=reason)
    if blank.depth < (least := flat_below(float(curve.y[best]), flat)):
        return replace(blank, status="flat", reason=words(blank.depth, least))
    below, above = curve.walls
    limits = (
        float(x[falls & (x < x[best])].max(initial=below)),
        float(x[rises & (x > x[best])].min(initial=above)),
    )
    return _located(blank, curve, limits, noise, error)


def _located(
    blank: Optimum, curve: Curve, limits: tuple[float, float], noise: LossVariance, error: float
) -> Optimum:
    """Locate the optimum between `limits`, beyond which losses are worse; they may be infinite."""
    x, (low, high) = curve.x, limits
    bottom, closed = curve.near(3).bottom(2), False
    points = [bottom.place, curve.near(NEAR).bottom(3).place]
    reason = "no bowl with both sides fits, but lrs beyond these are worse or diverged"
    for bowl in _bowls(curve, noise, error):
        left, right = bowl.interval(noise.reach(error / STRICT))
        inner = bowl.interval(noise.reach(error))
        low = inner[0] if left > x[0] else limits[0]
        high = inner[1] if right < x[-1] else limits[1]
        if closed := left > x[0] and right < x[-1]:
            size = len(bowl.curve.x)
            bottom = bowl.bottom if size > 3 else bottom  # three leave the skew open
            reason = f"a bowl through {size} learning rates has both its sides in the grid"
            break
    if not closed:
        points.append(x[curve.best])
        points += [x[1]] * (low == curve.walls[0]) + [x[-2]] * (high == curve.walls[1])
    low, high = float(np.nanmin([low, *points])), float(np.nanmax([high, *points]))
    reason = f"{reason}; noise is that of {noise.source}"
    return replace(_stated(blank, curve, (low, high), bottom, reason), has_bowl=closed)


def _bowls(curve: Curve, noise: LossVariance, error: float) -> Iterator[Bowl]:
    """Bowls through more and more learning rates about the best, while they fit and are curved."""
    for half in range(NEAR // 2, len(curve.x)):
        bowl = Bowl(curve.about(half))
        size = len(bowl.curve.x)
        if size > 4 and bowl.squares > noise.reach(MISFIT, size - 4):
            return
        if bowl.gain > noise.reach(error, min(3, size - 1)):
            yield bowl
        if size == len(curve.x):
            return


def _by_grid(blank: Optimum, curve: Curve) -> Optimum:
    """The answer if noise cannot be distinguished from shape."""
    few = "one seed and fewer than five learning rates leave the noise unknown"
    rising = np.diff(curve.y) > 0
    if (rising[:-1] & ~rising[1:]).any():
        return replace(blank, reason=f"{few}, and there are two dips")
    places = np.array([curve.walls[0], *curve.x, curve.walls[1]])
    neighbours = float(places[curve.best]), float(places[curve.best + 2])
    reason = f"{few}: the interval ends at the learning rates beside the best one"
    return _stated(blank, curve, neighbours, curve.near(3).bottom(2), reason)


def _stated(
    blank: Optimum, curve: Curve, limits: tuple[float, float], bottom: Bottom, reason: str
) -> Optimum:
    """The answer for an optimum between `limits`, in log lr; infinite ones are beyond the grid."""
    lrs, (low, high) = curve.lr, map(math.exp, limits)
    if low == 0 and high == math.inf:
        reason = f"neither side of a bowl stands out from noise; {reason.rpartition('; ')[2]}"
        return replace(blank, reason=reason)
    lr, loss = float(lrs[curve.best]), float(curve.y[curve.best])
    tried = replace(blank, lr=lr, low=min(low, lr), high=max(high, lr), loss=loss)
    if low == 0:
        reason = f"the best lr may be below the lowest, {lrs[0]:.3g}; try smaller ones"
        return replace(tried, status="low_edge", reason=reason)
    if high == math.inf:
        reason = f"the best lr may be above the highest, {lrs[-1]:.3g}; try larger ones"
        return replace(tried, status="high_edge", reason=reason)
    tried = replace(tried, low=low, high=high, status="interior", reason=reason)
    if math.isnan(bottom.place):
        return tried
    return replace(
        tried,
        lr=math.exp(bottom.place),
        curvature=bottom.curvature,
        skew=bottom.skew,
        loss=bottom.loss,
    )
