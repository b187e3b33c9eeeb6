"""The loss over the learning rate for each batch size and clip of a sweep."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from scaling.analysis.loss_surface import Losses, Surface
from scaling.analysis.lr_curve import Array, Curve
from scaling.analysis.memo import once_for_rows
from scaling.analysis.near_optimum import near_optimum
from scaling.analysis.seed_groups import grouped
from scaling.contracts.columns import need, need_coordinates

COLUMNS = ("batch", "lr", "clip", "seed", "status", "val_loss")


class SweepCurves(NamedTuple):
    """The curves of one clip."""

    clip: float
    of_batch: dict[float, Curve]  # sorted
    beside: Surface | None  # through the runs beside the best of each batch size, if enough


@once_for_rows(*COLUMNS)
def curves_of(rows: pd.DataFrame) -> tuple[SweepCurves, ...]:
    """The curve of each batch size and clip, sorted.

    An lr at which a run diverged or was unstable bounds its curve; runs beyond it are left out.

    Raises:
        ValueError: if a column is absent, or the batch or lr of a finished run is not positive and
            finite, or its seed is missing.
    """
    need(rows, *COLUMNS)
    need_coordinates(rows)
    few = grouped(rows.assign(clip=rows["clip"].astype(float).fillna(math.inf)))
    clips = np.unique(few["clip"]).tolist()
    return tuple(_same_clip(clip, few[few["clip"] == clip]) for clip in clips)


def _same_clip(clip: float, rows: pd.DataFrame) -> SweepCurves:
    finite = (rows["status"] == "done") & np.isfinite(rows["val_loss"].astype(float))
    near = near_optimum(Losses.of(rows)) if finite.any() else None
    unstable = finite.to_numpy(copy=True)
    unstable[unstable] = near.unstable if near else False
    curves = {}
    for batch in np.unique(rows["batch"].to_numpy(float)).tolist():
        here = (rows["batch"] == batch).to_numpy()
        block = rows[here]
        runs = block[["lr", "seed", "val_loss"]].to_numpy(float, copy=True)
        done, endless = (block["status"] == "done").to_numpy(), np.isposinf(runs[:, 2])
        ended_badly = (block["status"] == "diverged").to_numpy() | (done & endless)
        losses = np.where(ended_badly, math.inf, runs[:, 2])
        badly = ended_badly | unstable[here]
        highest = pd.Series(losses[badly]).groupby(runs[badly, 0]).max()
        bad = np.column_stack([np.log(highest.index.to_numpy(float)), highest.to_numpy(float)])
        good = runs[done & np.isfinite(runs[:, 2]) & ~np.isin(runs[:, 0], highest.index)]
        # a run in two folders counts once; two losses of one seed are two measurements
        curves[batch] = _bounded(np.unique(good, axis=0), bad)
    return SweepCurves(clip, curves, near.beside if near else None)


def _bounded(runs: Array, bad: Array) -> Curve:
    """The curve between the nearest bad learning rates on each side of the best."""
    curve = Curve.of(runs, bad)
    if not len(curve.x):
        return curve
    best = curve.x[curve.best]
    lower, higher = bad[bad[:, 0] < best], bad[bad[:, 0] > best]
    nearest = np.concatenate([lower[-1:], higher[:1]])  # they are sorted
    x = np.log(runs[:, 0])
    within = np.ones_like(x, dtype=bool)
    for wall in nearest[:, 0]:
        within &= (x > wall) if wall < best else (x < wall)
    return Curve.of(runs[within], nearest)
