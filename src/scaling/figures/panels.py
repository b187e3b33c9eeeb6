"""A panel for each setting on shared scales, and the style of all figures."""

import textwrap
from collections.abc import Callable, Iterable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.contracts.settings import by_setting
from scaling.figures.labels import legend

STYLE = {
    **sns.axes_style("ticks"),
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.minor.size": 2,
    "ytick.minor.size": 2,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Inches: the width of a figure of one panel (one and a half columns of a journal), of several
# panels (a page), the height of a panel, and that of its axes.
SINGLE, WIDE, HEIGHT, INNER = 5.0, 7.2, 3.1, 2.3
LEGEND = 0.5  # inches of a legend below the panels


def panels(
    rows: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes], None],
    together: tuple[str, ...] = (),
    *,
    below: float = 0.0,
    above: float = 6.0,
    entries: Iterable[Artist] = (),
    title: str = "",
    keys_below: bool = False,
    width: float = SINGLE,
    shared: bool = True,
) -> Figure:
    """Draw one panel for each setting other than batch, lr and seed, at most two in a row.

    Args:
        rows: from `scaling.results.read`.
        draw: draws the runs of a setting in its axes.
        together: columns that may differ within a panel.
        below: inches that each panel needs below its axes.
        above: points between the axes and their title.
        entries: of one legend for all panels, besides the labels of the panels' lines.
        title: of the legend.
        keys_below: whether the legend is below the panels, as it is for several.
        width: of a figure of one panel, in inches.
        shared: whether the panels have the same axes, whose labels are at the left and at the
            bottom only.
    """
    blocks = list(by_setting(rows, together=together))
    across = min(2, max(1, len(blocks)))
    down = -(-len(blocks) // across) or 1
    more = list(entries)
    with mpl.rc_context(STYLE):
        size = (WIDE if across > 1 else width, (HEIGHT + below) * down)
        figure = Figure(figsize=size, layout="constrained")
        first: Axes | None = None
        drawn: list[Axes] = []
        for i, (name, block) in enumerate(blocks):
            axes = figure.add_subplot(down, across, i + 1, sharex=first, sharey=first)
            first = axes if shared and first is None else first
            drawn.append(axes)
            draw(block, axes)
            own = axes.get_title(loc="left")  # a note on this panel
            heading = "\n".join(filter(None, (wrapped(name, _letters(axes)), own)))
            axes.set_title(heading, loc="left", pad=above)
        for i, axes in enumerate(drawn if shared else []):
            below_it = drawn[i + across : i + across + 1]
            left = i % across == 0 or not drawn[i - 1].axison
            _inner(axes, left=left, bottom=not any(one.axison for one in below_it))
        listed = [*_lines(figure), *more]
        keys_below = keys_below or across > 1
        legend(figure, listed, title, below=keys_below)
        if keys_below and listed:
            figure.set_figheight(size[1] + LEGEND)
    return figure


def _inner(axes: Axes, *, left: bool, bottom: bool) -> None:
    """Remove the labels of an axis that a panel beside or below shows as well."""
    for one in (axes, *axes.child_axes):
        if not left:
            one.set_ylabel("")
            one.tick_params(axis="y", which="both", labelleft=False)
        if not bottom:
            one.set_xlabel("")
            one.tick_params(axis="x", which="both", labelbottom=False)


def _lines(figure: Figure) -> Iterable[Artist]:
    """The labelled artists of the panels without a legend of their own."""
    for axes in figure.axes:
        if axes.get_legend() is None:
            yield from axes.get_legend_handles_labels()[0]


def wrapped(title: str, width: int = 60) -> str:
    """Wrap the title of a setting to the width of its panel, between keys."""
    return "\n".join(textwrap.wrap(title, width, break_long_words=False, break_on_hyphens=False))


def note(axes: Axes, text: str) -> None:
    """Write a note above the axes, below the title of the panel."""
    axes.set_title(wrapped(text, _letters(axes)), loc="left")


def _letters(axes: Axes) -> int:
    """The number of letters that fit into a line above a panel."""
    grid = axes.get_gridspec()
    return 46 if grid is None or grid.ncols == 1 else 32


def spread(seeds: pd.DataFrame) -> list[pd.Series]:
    """Distances of the minimum and maximum over seeds from their mean, at least 0."""
    below, above = seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]
    return [below.clip(lower=0), above.clip(lower=0)]  # rounding may put the mean outside


def blank(axes: Axes, why: str) -> None:
    """Write into an empty panel why nothing is drawn."""
    text = "\n".join(textwrap.wrap(why, 40))
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
