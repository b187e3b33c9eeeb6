"""Gradient norms over the steps of a run."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis.at_best import at_best
from scaling.contracts.columns import FINISHED
from scaling.figures.panels import colors, panels


def norm_curves(rows: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Gradient norm before clipping over the steps, at the best lr of each batch size.

    Args:
        rows: as `scaling.results.read` gives them.
        steps: of these runs, as `scaling.results.steps` gives them.
    """

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        best = at_best(block)
        for batch, color in colors(best):
            runs = best[best["batch"] == batch]
            lines, lr = steps[steps["run"].isin(runs["run"])], runs["lr"].iloc[0]
            window = lines["step"] // 20 * 20 + 10
            norms = lines.groupby(window)["grad_norm_pre_clip"].median()
            marker = "." if len(norms) == 1 else None  # a line cannot show one point
            label = f"{batch:g} (lr {lr:g})"
            axes.plot(norms, color=color, linewidth=1.2, marker=marker, label=label)
        for clip in block["clip"].unique():
            if np.isfinite(clip):
                axes.axhline(clip, color="0.4", linestyle=":", linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm before clipping (median)")
        axes.legend(title="batch", framealpha=0.8)

    return panels(rows[rows["status"].isin(FINISHED)], draw)
