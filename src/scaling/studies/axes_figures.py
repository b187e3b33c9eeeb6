"""Predictions of grids that were left out, against what their runs say."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scaling.figures.axes import log_values
from scaling.figures.labels import legend
from scaling.figures.palette import looks
from scaling.figures.panels import SINGLE, STYLE


def predicted_lr(held_out: pd.DataFrame) -> Figure:
    """Predicted against best learning rate of each curve, from the other grids.

    Args:
        held_out: of `AxesLaw`.
    """
    known = held_out[held_out["best_lr"].notna()].sort_values("batch")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SINGLE, 4.2), layout="compressed")
        axes = figure.add_subplot()
        for batch, (color, marker) in looks(known).items():
            curves = known[known["batch"] == batch]
            lr = curves["lr"]
            axes.errorbar(
                curves["best_lr"], lr, yerr=[lr - curves["low"], curves["high"] - lr], fmt=marker,
                color=color, markersize=3.5, linewidth=0.6, alpha=0.8, label=f"{batch:g}",
            )  # fmt: skip
        both = np.concatenate([known["best_lr"], known["low"], known["high"]])
        ends = float(both.min() / 1.2), float(both.max() * 1.2)
        axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0, label="_perfect")
        axes.set(xscale="log", yscale="log", aspect="equal")
        log_values(axes.xaxis, *ends)
        log_values(axes.yaxis, *ends)
        axes.set_xlabel("best learning rate, by the runs of its curve")
        axes.set_ylabel("predicted from the other grids")
        legend(figure, axes.get_legend_handles_labels()[0], "batch")
    return figure
