"""The loss over the learning rate for each batch size and clip of a sweep."""

import math

import numpy as np
import pandas as pd

from scaling.analysis.lr_curve import Array, Curve
from scaling.analysis.near_optimum import unstable_runs
from scaling.analysis.seed_groups import grouped
from scaling.contracts.columns import need

COLUMNS = ("batch", "lr", "clip", "seed", "status", "val_loss")


def curves_of(rows: pd.DataFrame) -> dict[tuple[float, float], Curve]:
    """The curve of each batch size and clip, sorted.

    An lr at which a run diverged or was unstable bounds its curve; runs beyond it are left out.

    Raises:
        ValueError: if a column is absent.
    """
    need(rows, *COLUMNS)
    curves = {}
    few = grouped(rows.assign(clip=rows["clip"].astype(float).fillna(math.inf)))
    for _, same_clip in few.reset_index(drop=True).groupby("clip"):
        unstable = unstable_runs(same_clip)
        for key, block in same_clip.groupby(["batch", "clip"]):
            runs = block[["lr", "seed", "val_loss"]].to_numpy(float, copy=True)
            done, endless = (block["status"] == "done").to_numpy(), np.isposinf(runs[:, 2])
            ended_badly = (block["status"] == "diverged").to_numpy() | (done & endless)
            losses = np.where(ended_badly, math.inf, runs[:, 2])
            badly = ended_badly | unstable[block.index].to_numpy()
            highest = pd.Series(losses[badly]).groupby(runs[badly, 0]).max()
            bad = np.column_stack([np.log(highest.index.to_numpy(float)), highest.to_numpy(float)])
            finite = runs[done & np.isfinite(runs[:, 2]) & ~np.isin(runs[:, 0], highest.index)]
            # a run in two folders counts once; two losses of one seed are two measurements
            batch, clip = np.array(key, float).tolist()
            curves[batch, clip] = _bounded(np.unique(finite, axis=0), bad)
    return dict(sorted(curves.items()))


def _bounded(runs: Array, bad: Array) -> Curve:
    """The curve between the nearest learning rates on each side of the best that went badly."""
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
