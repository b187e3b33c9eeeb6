"""Gradient norms over the steps of a run."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scaling.analysis.at_best import at_best
from scaling.contracts.columns import FINISHED
from scaling.contracts.settings import by_setting
from scaling.figures.axes import log_values, number
from scaling.figures.labels import BESIDE
from scaling.figures.limits import log_limits
from scaling.figures.palette import looks
from scaling.figures.panels import blank, panels

WINDOW = 20  # steps in a median


def norm_curves(rows: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Gradient norm before clipping over the steps, at the best lr of each batch size.

    Args:
        rows: as `scaling.results.read` gives them.
        steps: of these runs, as `scaling.results.steps` gives them.
    """
    finished = rows[rows["status"].isin(FINISHED)]
    styles = looks(finished)
    every = [_medians(block, steps) for _, block in by_setting(finished)]
    limits = log_limits(
        value for medians in every for _, line in medians.values() for value in line
    )

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        medians = _medians(block, steps)
        if not limits.known or not medians:
            blank(axes, "no step was measured")
            return
        for batch, (lr, line) in medians.items():
            marker = "." if len(line) == 1 else None  # a line cannot show one point
            label = f"{batch:g} (lr {number(lr)})"
            color = styles[batch].color
            axes.plot(line, color=color, linewidth=1.2, marker=marker, label=label)
        for clip in block["clip"].unique():
            if np.isfinite(clip):
                axes.axhline(clip, color="0.4", linestyle=":", linewidth=1, label=f"clip {clip:g}")
        axes.set_yscale("log")
        log_values(axes.yaxis, *limits.log_padded())
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlim(left=0)
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm before clipping (median)")
        axes.legend(title="batch", alignment="left", **BESIDE)

    return panels(finished, draw)


def _medians(block: pd.DataFrame, steps: pd.DataFrame) -> dict[float, tuple[float, pd.Series]]:
    """The best lr of each batch size, and medians of the norm over windows of steps."""
    best, medians = at_best(block), {}
    for batch, runs in best.groupby("batch"):
        lines = steps[steps["run"].isin(runs["run"])]
        window = lines["step"] // WINDOW * WINDOW + WINDOW // 2
        norms = lines.groupby(window)["grad_norm_pre_clip"].median()
        if len(norms):
            medians[float(str(batch))] = (float(runs["lr"].iloc[0]), norms)
    return medians
