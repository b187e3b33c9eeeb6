"""The runs that locate the optima of a sweep: those near them, without unstable ones.

The optimum is local. A run whose loss is a nat above the best only shows on which side the optimum
lies, not its shape, and beyond the edge of stability losses jump. So the surface
(`scaling.analysis.loss_surface`, with a free optimum for each batch size) is first fitted to the
learning rates beside the best of each batch size, and this window then grows
(`scaling.analysis.lr_window`). Noise is the scatter about the surface in the window.

A run is unstable if it lies to the right of its optimum, far above what the others predict. The
first window is fitted by trimmed least squares (Rousseeuw, JASA 79, 1984; with the steps of
Rousseeuw and Van Driessen, Data Min. Knowl. Disc. 12, 2006), which resists gross errors in up to a
quarter of the runs. The last step is an outlier test of each run.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import stats

from scaling.analysis.loss_surface import Losses, Surface, Vector
from scaling.analysis.lr_window import Mask, Window, expected_surface, grown, readmitted

BESIDE = 2  # learning rates on each side of the best one, in the first window
TRIMMED = 0.75  # share of the runs that the trimmed fit uses
GROSS = 5.0  # robust standard deviations above the trimmed fit


class Near(NamedTuple):
    """The runs near the optima, as masks over the finite losses of a sweep."""

    kept: Mask
    unstable: Mask
    surface: Surface | None  # fitted to the kept runs; None if they are fewer than its parameters
    beside: Surface | None  # fitted to the runs beside the best of each batch size, if enough


def near_optimum(losses: Losses) -> Near:
    """Choose the runs of a sweep that locate its optima.

    All are kept if the runs beside the best ones are too few to fit a surface to.

    Args:
        losses: the finite losses of runs that differ in batch size, lr and seed only.
    """
    none = np.zeros(len(losses.y), bool)
    parameters = 2 * len(losses.batches) + 2 * len(losses.seeds) + 1
    if len(losses.grid) < 3 or len(losses.y) <= parameters:
        return Near(~none, none, None, None)
    best, step = _best(losses), _spacing(losses)
    reach = (BESIDE + 0.5) * step
    beside = np.abs(losses.x - best[losses.batch]) <= reach
    if beside.sum() < parameters + 3:
        return Near(~none, none, expected_surface(losses, best, 0.0, None), None)
    window = _first(losses, beside, best, reach)
    for _ in range(3):  # about the optima of the law of all, in case a best run is low by chance
        inside = window.inside & ~window.unstable
        if (inside == window.kept).all() or inside.sum() < parameters + 3:
            break
        window = window.fitted(inside)
    widest = readmitted(grown(window, step))
    unstable = widest.unstable | _jumped(widest)
    return Near(widest.kept, unstable, widest.surface, window.surface)


def _best(losses: Losses) -> Vector:
    """Log of the best learning rate of each batch size, by the median over seeds."""
    best = []
    for i in range(len(losses.batches)):
        here = losses.where(losses.batch == i)
        best.append(min(here.grid, key=lambda x, here=here: np.median(here.y[here.x == x])))
    return np.array(best)


def _spacing(losses: Losses) -> float:
    """The usual distance of neighbouring learning rates of a batch size, in natural logs."""
    parts = [np.diff(losses.where(losses.batch == i).grid) for i in range(len(losses.batches))]
    gaps = np.concatenate(parts)
    return float(np.median(gaps)) if len(gaps) else 1.0


def _ends(losses: Losses, best: Vector, reach: float) -> tuple[Vector, Vector]:
    """Bounds of each optimum: near its best run, and beyond the grid if that run is at its end."""
    span = losses.grid[-1] - losses.grid[0]
    curves = [losses.x[losses.batch == i] for i in range(len(best))]
    first = np.array([x.min() for x in curves]) == best
    last = np.array([x.max() for x in curves]) == best
    return best - np.where(first, span, reach), best + np.where(last, span, reach)


def _first(losses: Losses, beside: Mask, best: Vector, reach: float) -> Window:
    """The first window, by trimmed least squares."""
    ends = _ends(losses, best, reach)
    surface, excess = None, np.abs(losses.y - _rough(losses, beside, best))
    some = np.zeros_like(beside)
    for _ in range(6):
        trimmed = _closest(losses, beside, excess)
        if (trimmed == some).all():
            break
        some = trimmed
        start, noise = (surface.theta, surface.noise) if surface else (best, 0.0)
        surface = expected_surface(losses.where(some), start, noise, ends)
        excess = np.abs(losses.y - surface.predicted(losses))
    assert surface is not None  # the first round fits one
    parameters = len(surface.theta) + len(surface.linear)
    right = beside & (losses.x > surface.optima[losses.batch])
    scale = max(_scale(excess[beside]), _scale(excess[right]))  # noise may grow to the right
    scale *= math.sqrt(beside.sum() / max(1, beside.sum() - parameters))
    unstable = beside & (losses.y - surface.predicted(losses) > GROSS * max(scale, 1e-9))
    window = Window(losses, surface, beside, unstable, reach, reach, ends)
    unstable &= window.offset > 0
    return replace(window, unstable=unstable).fitted(beside & ~unstable)


def _scale(excess: Vector) -> float:
    """Robust standard deviation: the median absolute value, scaled as for a normal distribution."""
    return float(np.median(np.abs(excess)) / stats.norm.ppf(0.75)) if len(excess) else 0.0


def _rough(losses: Losses, beside: Mask, best: Vector) -> Vector:
    """Parabolas above the best runs, of one height: the median of those through single runs."""
    curves = np.unique(losses.curve, return_inverse=True)[1]
    lowest = np.array([losses.y[beside & (curves == i)].min(initial=np.inf)
                       for i in range(curves.max() + 1)])[curves]  # fmt: skip
    squares = (losses.x - best[losses.batch]) ** 2
    others = beside & (squares > 0)
    height = np.median((losses.y - lowest)[others] / squares[others])
    rough: Vector = np.where(np.isfinite(lowest), lowest, 0.0) + height * squares
    return rough


def _closest(losses: Losses, beside: Mask, excess: Vector) -> Mask:
    """The share `TRIMMED` of the runs with the smallest excess, and three of each batch size."""
    excess = np.where(beside, excess, np.inf)
    count = math.ceil(TRIMMED * beside.sum())
    closest: Mask = np.isin(np.arange(len(excess)), np.argsort(excess)[:count])
    for i in range(len(losses.batches)):  # a bowl takes three
        curve = np.flatnonzero(beside & (losses.batch == i))
        closest[curve[np.argsort(excess[curve])[:3]]] = True
    return closest


def _jumped(window: Window) -> Mask:
    """Runs to the right of the window, above the surface by more than its highest rise in it."""
    surface, losses = window.surface, window.losses
    rise = float(surface.height * surface.bowl().max())
    excess = losses.y - surface.predicted(losses)
    beyond: Mask = ~window.kept & (window.offset > 0) & (excess > max(rise, 0))
    return beyond
