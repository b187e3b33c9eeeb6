"""Helpers shared by all figures: a panel per setting, colors of batch sizes, text style."""

import textwrap
from collections.abc import Callable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.contracts.settings import by_setting

STYLE = {
    **sns.axes_style("ticks"),
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, HEIGHT = 5.0, 3.6  # inches, of one panel


def panels(
    rows: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes], None],
    together: tuple[str, ...] = (),
) -> Figure:
    """Draw one panel for each setting other than batch, lr and seed, at most two in a row."""
    blocks = list(by_setting(rows, together=together))
    across = min(2, max(1, len(blocks)))
    down = -(-len(blocks) // across) or 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH * across, HEIGHT * down), layout="constrained")
        for i, (title, block) in enumerate(blocks):
            axes = figure.add_subplot(down, across, i + 1)
            draw(block, axes)
            axes.set_title(wrapped(title), loc="left", pad=6)
    return figure


def wrapped(title: str, width: int = 60) -> str:
    """Wrap the title of a setting to the width of its panel, between keys."""
    return "\n".join(textwrap.wrap(title, width, break_long_words=False, break_on_hyphens=False))


def colors(block: pd.DataFrame) -> list[tuple[float, tuple[float, float, float]]]:
    """Each batch size with its color."""
    batches = sorted({float(batch) for batch in block["batch"]})
    colors = sns.color_palette("viridis", len(batches) + 1)[:-1]  # the last one is too light
    return list(zip(batches, colors, strict=True))


def spread(seeds: pd.DataFrame) -> list[pd.Series]:
    """Distances of the minimum and maximum over seeds from their mean, at least 0."""
    below, above = seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]
    return [below.clip(lower=0), above.clip(lower=0)]  # rounding may put the mean outside


def blank(axes: Axes, why: str) -> None:
    """Write into an empty panel why nothing is drawn."""
    text = "\n".join(textwrap.wrap(why, 50))
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
