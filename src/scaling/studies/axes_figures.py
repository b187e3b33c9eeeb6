"""Predictions of grids that were left out, against what their runs say."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from scaling.figures.panels import STYLE

TICKS = [digit * 10.0**power for power in range(-8, 3) for digit in (1, 3)]


def predicted_lr(held_out: pd.DataFrame) -> Figure:
    """Predicted against best learning rate of each curve, from the other grids.

    Args:
        held_out: of `AxesLaw`.
    """
    known = held_out[held_out["best_lr"].notna()].sort_values("batch")
    sizes = sorted(known["batch"].unique())
    colors = dict(zip(sizes, sns.color_palette("viridis", len(sizes) + 1), strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 4.4), layout="constrained")
        axes = figure.add_subplot()
        for batch, curves in known.groupby("batch"):
            lr = curves["lr"]
            axes.errorbar(
                curves["best_lr"], lr, yerr=[lr - curves["low"], curves["high"] - lr], fmt="o",
                color=colors[batch], markersize=3.5, linewidth=0.6, alpha=0.8, label=f"{batch:g}",
            )  # fmt: skip
        both = np.concatenate([known["best_lr"], known["low"], known["high"]])
        ends = [both.min() / 1.2, both.max() * 1.2]
        axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
        ticks = [tick for tick in TICKS if ends[0] <= tick <= ends[1]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("best learning rate, by the runs of its curve")
        axes.set_ylabel("predicted from the other grids")
        axes.legend(title="batch", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
