"""Gradient norms over the steps of a run."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling import results
from scaling.figures.panels import colors, panels


def best_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of each setting and batch size at the lr of the lowest mean loss."""
    done = rows[rows["status"] == "done"]
    found = []
    for _, block in results.settings(done):
        for _, runs in block.groupby("batch"):
            means = runs.groupby("lr")["val_loss"].mean().dropna()
            if len(means):
                found.append(runs[runs["lr"] == means.index.to_numpy(float)[means.argmin()]])
    return pd.concat(found) if found else done


def norm_curves(rows: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Gradient norm before clipping over the steps, at the best lr of each batch size.

    Medians over 20 steps and over seeds; dotted lines are the ceilings.

    Args:
        rows: as `scaling.results.read` gives them.
        steps: of `best_runs(rows)`, as `scaling.results.steps` gives them.
    """

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        best = best_runs(block)
        for batch, color in colors(best):
            own = steps[steps["run"].isin(best.loc[best["batch"] == batch, "run"])]
            window = own["step"] // 20 * 20 + 10
            norms = own.groupby(window)["grad_norm_pre_clip"].median()
            lr = best.loc[best["batch"] == batch, "lr"].iloc[0]
            axes.plot(norms, color=color, linewidth=1.2, label=f"{batch:g} (lr {lr:g})")
        for clip in block["clip"].unique():
            if np.isfinite(clip):
                axes.axhline(clip, color="0.4", linestyle=":", linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm before clipping")
        axes.legend(title="batch", framealpha=0.8)

    return panels(rows[rows["status"] == "done"], draw)
