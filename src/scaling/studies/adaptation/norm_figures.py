"""Gradient norms during adaptation: every query, and the number of queries still running."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scaling.analysis.trends import fold_trend
from scaling.figures.axes import log_values
from scaling.figures.labels import legend
from scaling.figures.limits import log_limits
from scaling.figures.panels import STYLE, WIDE, wrapped
from scaling.studies.adaptation.accuracy_figures import colors_of
from scaling.studies.adaptation.norm_trends import has_trend, norms_of
from scaling.studies.adaptation.runs import blocks

ACROSS = 3  # arms in a row
WIDTH, HEIGHT = 2.6, 2.7  # inches of an arm


def adaptation_norms(table: pd.DataFrame, lines: pd.DataFrame) -> Figure:
    """Gradient norm of mini-batches over the passes, a line per query, and their number below.

    Args:
        table: as `scaling.studies.adaptation.runs.measures` gives them.
        lines: as `scaling.studies.adaptation.runs.passes` gives them.
    """
    arms = [
        (title, arm, color, block[block["arm"] == arm])
        for title, block in blocks(table)
        for arm, color in colors_of(block).items()
    ]
    drawn = [
        norms_of(runs, lines, column)["gradient_norm"]
        for *_, runs in arms
        for column in ("pass_grad_norm", "query_grad_norm")
    ]
    limits = log_limits((value for norms in drawn for value in norms), decades=2.0)
    across = min(ACROSS, len(arms))
    down = -(-len(arms) // across)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(min(WIDE, WIDTH * across + 1.6), HEIGHT * down), layout="constrained"
        )
        grid = figure.add_gridspec(2 * down, across, height_ratios=[4, 1] * down)
        upper: Axes | None = None
        for i, (title, arm, color, runs) in enumerate(arms):
            row, column = divmod(i, across)
            upper = figure.add_subplot(grid[2 * row, column], sharey=upper)
            lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
            _draw(runs, lines, upper, lower, color)
            named = filter(None, (wrapped(title, 30), f"batch {arm}"))
            upper.set_yscale("log")
            log_values(upper.yaxis, *limits.log_padded())
            upper.set_title("\n".join(named), loc="left", pad=6)
            upper.tick_params(labelbottom=False)
            lower.set_xlabel("pass")
            lower.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if column == 0:
                upper.set_ylabel("gradient norm")
                lower.set_ylabel("at risk")
            if column:
                upper.tick_params(labelleft=False)
                lower.tick_params(labelleft=False)
            if row < down - 1 and i + across < len(arms):
                lower.set_xlabel("")
        handles = [one for axes in figure.axes for one in axes.get_legend_handles_labels()[0]]
        legend(figure, handles)
    return figure


def _draw(runs: pd.DataFrame, lines: pd.DataFrame, upper: Axes, lower: Axes, color: Any) -> None:
    norms = norms_of(runs, lines, "pass_grad_norm")
    last = norms["step"].max()
    named = {"color": color, "linewidth": 0.8, "alpha": 0.6}
    for i, (_, course) in enumerate(norms.groupby("fold")):
        course = course.sort_values("step")
        upper.plot(course["step"], course["gradient_norm"], **named, label="" if i else "one query")
        end = course.iloc[-1]
        mark = "x" if end["step"] < last else "."
        upper.plot(end["step"], end["gradient_norm"], mark, color=color, markersize=6)
    if has_trend(norms):
        curve = fold_trend(norms).curve
        upper.plot(curve["survivors"], color="0.3", linestyle="--", label="mean of running queries")
        upper.plot(curve["riskset"], color="black", linewidth=1.3, label="sum of increments")
        lower.step(curve.index, curve["at_risk"], where="post", color=color)
    whole = norms_of(runs, lines, "query_grad_norm")
    if has_trend(whole):
        present = fold_trend(whole).curve["riskset"]
        upper.plot(present, "*", color="0.5", markersize=6, label="whole query")
    many = norms["fold"].nunique()
    lower.set_ylim(0, 1.15 * max(1, many))
    lower.set_yticks([0, many])
