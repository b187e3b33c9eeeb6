"""Marks of runs without a place in the axes: beyond the scale, or diverged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from scaling.figures.axes import number, root
from scaling.figures.limits import Limits
from scaling.figures.palette import Look

DIVERGED, HIGH, LOW = "x", "^", "v"
ROOM = 17.0  # points above the axes that the marks need
_HEIGHT = {DIVERGED: (1.0, 11.0), HIGH: (1.0, 4.0), LOW: (0.0, 4.0)}  # axes fraction, points
_BESIDE = 5.0  # points between marks at one lr
MARK = "_mark"  # label of the lines, which keeps them out of legends


@dataclass(frozen=True)
class Mark:
    """A run, or a mean of runs, that has no place in the axes."""

    x: float
    batch: float
    value: float
    marker: str


def off_scale(means: pd.Series, limits: Limits) -> list[Mark]:
    """The means, indexed by batch size and place on the x axis, that are outside the limits."""
    return [one for one, _ in _off_scale(means, limits)]


def leaving(means: pd.Series, limits: Limits) -> list[Mark]:
    """The means off the scale next to one on it, and all means of a line that is entirely off it.

    Marks for the others would hide these, and the line has already left the axes there.
    """
    return [one for one, beside in _off_scale(means, limits) if beside]


def _off_scale(means: pd.Series, limits: Limits) -> list[tuple[Mark, bool]]:
    """The means that are outside the limits, and whether a neighbour is inside."""
    marks = []
    for batch, whole in means.groupby(level=0) if limits.known else ():
        line = whole.droplevel(0).sort_index()
        inside = [limits.holds(value) for value in line]
        for i, (x, value) in enumerate(zip(line.index, line.to_numpy(float), strict=True)):
            if not inside[i]:
                mark = Mark(float(x), float(str(batch)), value, LOW if value < limits.low else HIGH)
                marks.append((mark, not any(inside) or any(inside[max(i - 1, 0) : i + 2])))
    return marks


def diverged(block: pd.DataFrame) -> list[Mark]:
    """The batch sizes and learning rates at which a run diverged."""
    lost = block.loc[block["status"] == "diverged", ["batch", "lr"]].drop_duplicates()
    return [Mark(lr, batch, float("inf"), DIVERGED) for batch, lr in lost.to_numpy(float).tolist()]


def draw_marks(axes: Axes, marks: Iterable[Mark], looks: Mapping[float, Look]) -> None:
    """Draw triangles at the edge that values lie beyond, and crosses above, side by side."""
    marks = list(marks)
    for one in marks:
        edge, up = _HEIGHT[one.marker]
        batches = sorted(
            other.batch for other in marks if (other.x, other.marker) == (one.x, one.marker)
        )
        right = _BESIDE * (batches.index(one.batch) - (len(batches) - 1) / 2)
        shift = ScaledTranslation(right / 72, up / 72, root(axes).dpi_scale_trans)
        axes.plot(
            one.x, edge, one.marker, color=looks[one.batch].color, markersize=4, clip_on=False,
            transform=axes.get_xaxis_transform() + shift, zorder=4, label=MARK,
        )  # fmt: skip


def entries(marks: Iterable[Mark]) -> list[Line2D]:
    """Legend entries of the kinds of marks that are drawn."""
    marks = list(marks)
    outside = [one for one in marks if one.marker != DIVERGED]
    beyond = sorted(one.value for one in outside)
    found = []
    if beyond:
        ends = [number(value) for value in dict.fromkeys((beyond[0], beyond[-1]))]
        marker = HIGH if any(one.marker == HIGH for one in outside) else LOW
        found.append(_entry(marker, f"off the scale:\n{' to '.join(ends)}"))
    if any(one.marker == DIVERGED for one in marks):
        found.append(_entry(DIVERGED, "diverged"))
    return found


def _entry(marker: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color="0.25", markersize=4, label=label)
