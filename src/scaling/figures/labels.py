"""Labels in the right margin, beside what they name, and legends outside the axes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.figures.axes import text_width
from scaling.figures.palette import ink

SIZE = 8  # points
LINE = 1.25 * SIZE  # points between two labels
MANY = 6  # more lines than these are labelled at their ends
HANDLE = 42  # points of an entry of a legend besides its text
BESIDE: dict[str, Any] = {
    "loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "borderaxespad": 0.2,
}  # fmt: skip


@dataclass(frozen=True)
class Label:
    """A text for the right margin, and the point in data coordinates that it names.

    Without an `x` the point is at the edge of the axes.
    """

    y: float
    text: str
    color: Any
    x: float | None = None


def right_labels(axes: Axes, labels: Iterable[Label], height: float) -> None:
    """Write labels right of the axes, at their heights or as near as others leave room.

    Set the limits of the axes first.

    Args:
        axes: to write beside.
        labels: in any order; one above or below the axes is written at that edge.
        height: of the axes, in inches; less than that spreads labels more.
    """
    listed = list(labels)[::-1]  # labels at one height are read downwards
    ordered = sorted(listed, key=lambda label: _fraction(axes, label.y))
    places = [_fraction(axes, label.y) for label in ordered]
    for label, place, y in zip(
        ordered, places, spread_out(places, LINE / (72 * height)), strict=True
    ):
        inside = label.x is not None and 0 < place < 1
        from_point = ((label.x, label.y), "data") if inside else ((1.0, place), "axes fraction")
        is_far = not 0 < place < 1
        axes.annotate(
            label.text, from_point[0], xycoords=from_point[1], xytext=(1.04, y),
            textcoords="axes fraction", ha="left", va="center", fontsize=SIZE,
            color=ink(label.color), annotation_clip=False, zorder=1,
            arrowprops=None if is_far else {
                "arrowstyle": "-", "color": label.color, "linewidth": 0.5, "shrinkA": 1,
                "shrinkB": 0, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def _fraction(axes: Axes, height: float) -> float:
    """The height of a value in fractions of the axes, between 0 and 1."""
    low, high = axes.get_ylim()
    scale = axes.yaxis.get_transform()
    bottom, at, top = scale.transform([low, min(max(height, low), high), high])
    return float((at - bottom) / (top - bottom))


def spread_out(places: Sequence[float], gap: float) -> list[float]:
    """Move sorted places between 0 and 1 as little as needed to be at least a gap apart.

    This is isotonic regression: places that are too near each other are centered on their mean. If
    they are too many, they continue below 0.
    """
    groups: list[list[float]] = []  # sum of the places at which a group would start, and its size
    for i, place in enumerate(places):
        groups.append([place - i * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, size = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += size
    starts = [total / size for total, size in groups for _ in range(int(size))]
    top = 1 - (len(places) - 1) * gap
    return [min(max(start, 0.0), top) + i * gap for i, start in enumerate(starts)]


def legend(
    figure: Figure, entries: Iterable[Artist], title: str = "", *, below: bool = False
) -> None:
    """Put one legend for all panels right of them, or below; equal labels are listed once."""
    by_label: dict[str, Artist] = {}
    for entry in entries:
        by_label.setdefault(str(entry.get_label()), entry)
    if by_label:
        place: Any = "outside lower left" if below else "outside right upper"
        figure.legend(
            list(by_label.values()), list(by_label), title=title, frameon=False, loc=place,
            alignment="left", ncols=_columns(figure, list(by_label)) if below else 1,
        )  # fmt: skip


def _columns(figure: Figure, names: Sequence[str]) -> int:
    """The number of columns of a legend that fit below the panels."""
    widest = max(text_width(line) for name in names for line in name.split("\n"))
    return max(1, min(len(names), int(72 * figure.get_figwidth() / (widest + HANDLE))))
