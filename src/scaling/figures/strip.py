"""A strip below the axes with the interval of the best learning rate of each batch size."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from scaling.analysis.optima import Optimum
from scaling.figures.axes import LR, log_ends, lr_axis, number, root, tried_axis
from scaling.figures.palette import Color, Look, ink

ROW = 0.135  # inches of a batch size
TITLE = "best lr of each batch, 95 % interval"
GAP = 0.06  # inches between the axes and the strip


def strip_height(rows: int) -> float:
    """Inches of a strip, with its title and the gap above it."""
    return (rows + 1) * ROW + GAP if rows else 0.0


def strip(
    axes: Axes,
    found: Sequence[Optimum],
    looks: Mapping[float, Look],
    lrs: Sequence[float],
) -> None:
    """Draw the intervals in a strip that takes over the axis of learning rates.

    A bar that ends in an arrow is open: the optimum may lie beyond the grid, or its interval ends
    outside the view. An optimum without an interval has its status in words.

    Args:
        axes: above the strip, with learning rates across.
        found: the optima, at most one of each batch size.
        looks: of all batch sizes, a row each.
        lrs: that were tried.
    """
    rows = {batch: i for i, batch in enumerate(looks)}
    inches = strip_height(len(rows)) - GAP
    figure = root(axes)
    bottom = ScaledTranslation(0, 0, axes.transAxes)  # type: ignore[arg-type]
    from_bottom = figure.dpi_scale_trans + bottom
    place = blended_transform_factory(axes.transAxes, from_bottom)
    low = axes.inset_axes((0.0, -(GAP + inches), 1.0, inches), transform=place, sharex=axes)
    low.set_label("strip")
    ends = axes.get_xlim()
    for optimum in found:
        if optimum.batch in rows:
            _bar(low, optimum, rows[optimum.batch], looks[optimum.batch].color, ends)
    low.set_ylim(len(rows) - 0.5, -1.5)
    lr_axis(low, lrs)
    low.set_xlim(ends)
    tried_axis(low.yaxis, [float(row) for row in rows.values()], [number(b) for b in rows], 1.0)
    low.yaxis.set_minor_locator(NullLocator())
    low.tick_params(axis="y", length=0, pad=5)
    low.spines["left"].set_visible(False)
    low.text(0.0, -1.0, TITLE, transform=low.get_yaxis_transform(), fontsize=8, va="center",
             color="0.25")  # fmt: skip
    for spine in ("top", "right"):
        low.spines[spine].set_visible(False)
    axes.tick_params(axis="x", which="both", labelbottom=False)
    axes.set_xlabel("")
    low.set_xlabel(LR)


def _bar(low: Axes, optimum: Optimum, row: int, color: Color, ends: tuple[float, float]) -> None:
    if math.isnan(optimum.lr):
        low.text(0.5, row, optimum.status, transform=low.get_yaxis_transform(), fontsize=8,
                 ha="center", va="center_baseline", color=ink(color))  # fmt: skip
        return
    left, right = np.clip([optimum.low, optimum.high], *ends)
    low.plot([left, right], [row, row], color=color, linewidth=1.8, solid_capstyle="butt",
             label="interval")  # fmt: skip
    for open_end, at, marker in (
        (optimum.low < ends[0], ends[0], "<"),
        (optimum.high > ends[1], ends[1], ">"),
    ):
        if open_end:
            low.plot(at, row, marker, color=color, markersize=5, clip_on=False, label="open")
    if optimum.status == "interior" and ends[0] <= optimum.lr <= ends[1]:
        low.plot(optimum.lr, row, "|", color=color, markersize=7, markeredgewidth=1.5)


def is_open(optimum: Optimum, lrs: Sequence[float]) -> bool:
    """Whether the interval of an optimum ends outside the view of learning rates."""
    low, high = log_ends(lrs)
    return optimum.low < low or optimum.high > high


def entry() -> Line2D:
    """The legend entry of an open interval."""
    return Line2D([], [], color="0.25", marker=">", markersize=5, linewidth=1.8, label="open end")
