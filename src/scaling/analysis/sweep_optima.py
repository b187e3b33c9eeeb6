"""Locate the optimum of each batch size of a sweep, for a law to be fitted to."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from scaling.analysis import loss_surface, surface_inference
from scaling.analysis.flatness import FACTOR, flat_below, words
from scaling.analysis.intervals import LEVEL
from scaling.analysis.local_minima import local_minima
from scaling.analysis.loss_surface import Losses, Matrix, Surface, Vector
from scaling.analysis.near_optimum import Near, near_optimum
from scaling.analysis.surface_inference import CurveOptima
from scaling.contracts.words import counted

SURE = 2.0  # t value of the loss's rise on each side, below which no optimum is reported
MISFIT = 0.01  # p-value below which bowls of one shape do not fit


@dataclass(frozen=True)
class SweepOptima:
    """The optimum of each curve and batch size, in natural log lr."""

    surface: Surface
    curves: CurveOptima
    batches: Vector
    best: Vector  # of each of `batches`, over seeds
    errors: Matrix  # covariance of their errors
    inside: NDArray[np.bool_]  # whether each is between the learning rates of its batch size
    cubic: Vector  # minimum of a cubic for each batch size of the surface; nan without a minimum
    local: tuple[Vector, ...]  # minima of a cubic and of a parabola, if no surface fits
    unstable: int  # runs that jumped or diverged


def sweep_optima(rows: pd.DataFrame, flat: float | None = None) -> SweepOptima | str:
    """Locate the optima of runs that differ in batch size, lr and seed only.

    Args:
        rows: of the runs.
        flat: rise of the loss below which an optimum is flat (`scaling.analysis.flatness`).

    Returns:
        The optima, or the reason why they determine no law.
    """
    losses = Losses.of(rows)
    if reason := _too_little(losses):
        return reason
    near = near_optimum(losses)
    assert near.surface is not None  # there are more losses than it has parameters
    surface = loss_surface.refine(near.surface)
    diverged = rows[rows["status"] == "diverged"]
    if reason := _no_bowl(surface, losses, near, diverged) or _flat(surface, flat):
        return reason
    curves = surface_inference.curve_optima(surface)
    if len(curves.optima) < len(losses.seeds) + 2 or len(np.unique(curves.batch)) < 3:
        return f"curves with losses on both sides of a step: {len(curves.optima)}; too few"
    unstable = int(near.unstable.sum()) + len(diverged)
    inside = _inside(surface)
    stable = losses.where(~near.unstable)
    cubic = local_minima(stable, 3)
    if surface_inference.lack_of_fit(near.surface) >= MISFIT:
        found = np.unique(curves.batch)
        best, errors = _over_seeds(curves, found, len(losses.seeds))
        return SweepOptima(
            surface,
            curves,
            losses.batches[found],
            best,
            errors,
            inside[found],
            cubic,
            (),
            unstable,
        )
    local = (cubic, local_minima(stable, 2))
    found = np.flatnonzero(np.logical_and(*np.isfinite(local)))
    if len(found) < 3:
        return (
            "bowls of one shape do not fit all batch sizes, and each alone has a minimum inside "
            f"the grid at {len(found)} of {len(losses.batches)}; three are needed"
        )
    best, differ = np.mean(local, axis=0)[found], np.subtract(*local)[found]
    errors = np.diag((differ / 2) ** 2 + 1e-12)
    return SweepOptima(
        surface, curves, losses.batches[found], best, errors, np.ones_like(found, bool), cubic,
        local, unstable,
    )  # fmt: skip


def _too_little(losses: Losses) -> str:
    """The reason why no surface can be fitted; empty if one can."""
    if len(losses.batches) < 3:
        return f"batch sizes with a finite loss: {len(losses.batches)}; an interval needs 3"
    rates = [len(np.unique(losses.x[losses.batch == i])) for i in range(len(losses.batches))]
    if max(rates) < 4:
        return f"learning rates per batch size: {max(rates)}; a bowl needs 4, at three batch sizes"
    if (several := sum(rate >= 3 for rate in rates)) < 3:
        return f"batch sizes with three learning rates or more: {several}; an interval needs 3"
    if np.ptp(losses.y) < 1e-9:
        return "all losses are equal"
    if len(losses.y) <= 2 * len(losses.batches) + 2 * len(losses.seeds) + 2:
        few = counted(len(losses.y), "loss is", "losses are")
        return f"{few} fewer than the surface has parameters"
    return ""


def _no_bowl(surface: Surface, losses: Losses, near: Near, diverged: pd.DataFrame) -> str:
    """The reason why a surface has no law of its optima; empty if it may have one."""
    inside = int(_inside(surface).sum())
    if surface.height <= 0:
        return "the losses have no minimum"
    left, right = (
        max(t, SURE if bounded else t)
        for t, bounded in zip(
            surface_inference.side_t_values(surface),
            _bounded(surface, losses, near, diverged),
            strict=True,
        )
    )
    if min(left, right) < SURE:
        side = "below" if left < right else "above"
        return (
            f"the loss does not significantly rise {side} the optimum (t = {min(left, right):.1f})"
        )
    if inside < 2:
        return f"fitted minima inside the grid: {inside}; two are needed"
    return ""


def _flat(surface: Surface, flat: float | None) -> str:
    """The reason why there is no law, if all optima are flat; else empty."""
    rises, errors = surface_inference.rises(surface, FACTOR)
    quantile = float(stats.t.ppf(LEVEL, max(1, surface.freedom)))
    highest = float((rises + quantile * errors).max())
    below = flat_below(float(surface.linear[: len(rises)].min()), flat)
    return f"flat at every batch size: {words(highest, below)}" if highest < below else ""


def _inside(surface: Surface) -> NDArray[np.bool_]:
    """Whether the optimum of each batch size is between its learning rates."""
    losses, inside = surface.losses, []
    for i, optimum in enumerate(surface.optima):
        x = losses.x[losses.batch == i]
        inside.append(bool(len(x)) and x.min() < optimum < x.max())
    return np.array(inside)


def _bounded(
    surface: Surface, losses: Losses, near: Near, diverged: pd.DataFrame
) -> tuple[bool, bool]:
    """Whether runs away from the optimum bound it from below and above, in half of the curves.

    They diverged, or are worse than the optimum by more than three standard deviations of noise.
    """
    lowest = surface.linear[: len(losses.batches)]
    worse = ~near.kept & (losses.y > lowest[losses.batch] + 3 * surface.noise)
    x = np.append(losses.x[worse], np.log(diverged["lr"].to_numpy(float)))
    index = {batch: i for i, batch in enumerate(losses.batches)}
    batch = [*losses.batch[worse], *(index.get(size, -1) for size in diverged["batch"])]
    sides: list[set[int]] = [set(), set()]
    for place, i in zip(x, batch, strict=True):
        if i >= 0:
            sides[int(place > surface.optima[i])].add(int(i))
    below, above = (2 * len(side) >= len(losses.batches) for side in sides)
    return below, above


def _over_seeds(curves: CurveOptima, found: NDArray[np.int64], count: int) -> tuple[Vector, Matrix]:
    """The optimum over `count` seeds of each batch size found, and the covariance of the errors."""
    seeds = np.eye(count)[curves.seed]
    batches = (curves.batch[:, None] == found).astype(float)
    design = np.column_stack([batches, seeds[:, 1:] - seeds[:, :1]])
    precision = np.linalg.pinv(curves.covariance)
    covariance = np.asarray(np.linalg.pinv(design.T @ precision @ design), np.float64)
    optima = covariance @ (design.T @ precision @ curves.optima)
    return optima[: len(found)], covariance[: len(found), : len(found)]
