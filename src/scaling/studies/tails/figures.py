"""Hill's index against the share of values, and the shape of tails over training."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis.hill_tables import LAWS, expected_index
from scaling.figures.axes import log_values
from scaling.figures.limits import log_limits
from scaling.figures.palette import colors_of
from scaling.figures.panels import blank, panels

SHARES = (0.01, 0.05, 0.1, 0.2)
HILLS = [f"hill_{100 * share:g}" for share in SHARES]
GREYS = dict(zip(LAWS, (":", "--", "-.", "-"), strict=True))
TOGETHER = ("clip", "batch")


def hill_by_share(windows: pd.DataFrame) -> Figure:
    """Hill's index of all layers against the top share, with what exact samples of laws give.

    Args:
        windows: judged windows, with the settings of their runs.
    """
    both = {"coordinates": "-", "time": "--"}
    chosen = windows[(windows["group"] == "all") & ~windows["clipped"]]
    batches = colors_of(sorted(windows["batch"].unique()))
    percent = [100 * share for share in SHARES]
    laws = [expected_index(law, share) for law in LAWS for share in SHARES]
    limits = log_limits([*laws, *chosen[HILLS].to_numpy().ravel()])

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        block = chosen[chosen["run"].isin(block["run"])]
        if block.empty:
            blank(axes, "no window was judged")
            return
        for law, style in GREYS.items():
            expected = [expected_index(law, share) for share in SHARES]
            name = law.replace("student_t_3", "Student's t, 3").capitalize()
            axes.plot(percent, expected, color="0.6", linestyle=style, linewidth=1, label=name)
        for (batch, axis), part in block.groupby(["batch", "axis"]):
            means = [part[hill].median() for hill in HILLS]
            axes.plot(
                percent, means, "o", color=batches[batch], linestyle=both[str(axis)],
                markersize=3, linewidth=1.2, label=f"batch {batch:g}, {axis}",
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xticks=percent)
        axes.set_xticklabels([f"{value:g}" for value in percent])
        axes.minorticks_off()
        log_values(axes.yaxis, *limits.log_padded())
        axes.set_xlabel("largest values used (%)")
        axes.set_ylabel("Hill's index")

    return panels(windows, draw, TOGETHER)


def shape_over_steps(windows: pd.DataFrame) -> Figure:
    """Shape of each group over the steps, at the largest batch size; 2 is Gaussian, 1 Laplace.

    Args:
        windows: judged windows, with the settings of their runs.
    """
    both = {"coordinates": "-", "time": "--"}
    groups = colors_of(sorted(windows["group"].unique()))
    largest = windows[(windows["batch"] == windows["batch"].max()) & ~windows["clipped"]]
    limits = log_limits([1.0, 2.0, *largest["shape"]])

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        block = largest[largest["run"].isin(block["run"])]
        if block.empty:
            blank(axes, "no window was judged")
            return
        for value in (1, 2):
            axes.axhline(value, color="0.8", linewidth=1, zorder=0)
        for (group, axis), part in block.groupby(["group", "axis"]):
            axes.plot(
                part.groupby("step")["shape"].median(), "o", color=groups[group],
                linestyle=both[str(axis)], markersize=3, linewidth=1.2, label=f"{group}, {axis}",
            )  # fmt: skip
        axes.set_yscale("log")
        log_values(axes.yaxis, *limits.log_padded())
        axes.set_xlabel("step")
        axes.set_ylabel("shape of the tails")

    return panels(windows, draw, TOGETHER)
