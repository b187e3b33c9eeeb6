"""Axes with ticks at values that were tried or at round numbers, and labels that never overlap."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    Locator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

SIZE = 8  # points, of tick labels
APART = 4.0  # points between two tick labels
BEYOND = 0.06  # of an axis, in logs, at each end
BATCH = "batch (examples per step)"
LR = "learning rate"
_WIDTHS: dict[str, float] = {}


def number(value: float) -> str:
    """A number as people write learning rates: `3e-4`, `0.01`, `512`; three digits at most."""
    plain = f"{value:.3g}"
    if 1000 <= value < math.inf and math.isclose(value, round(value)):
        return f"{value:.0f}" if value < 1e6 else _short(value)
    return _short(value) if 0 < abs(value) < 1e-3 or "e" in plain else plain


def _short(value: float) -> str:
    digits, power = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


class Tried(Locator):
    """Ticks at values that were tried, as many as have room for their labels.

    Every n-th value has a label if that leaves about as many labels as fit; else each value that
    has room beside the one before it.
    """

    def __init__(
        self, of: Axis, places: Sequence[float], labels: Sequence[str], apart: float
    ) -> None:
        pairs = dict(sorted(zip(places, labels, strict=True)))
        self.places, self.labels = list(pairs), list(pairs.values())
        self.of, self.apart = of, apart

    def __call__(self) -> Any:
        """The places of the ticks, at the present size of the axes."""
        low, high = sorted(self.of.get_view_interval())
        slack = 1e-9 * max(abs(low), abs(high))
        seen = [i for i, at in enumerate(self.places) if low - slack <= at <= high + slack]
        return [self.places[i] for i in self._fitting(seen)]

    def tick_values(self, vmin: float, vmax: float) -> Any:
        return self()

    def _fitting(self, seen: list[int]) -> list[int]:
        if not seen:
            return []
        at, sizes = self._extents(seen)
        every = next(
            (kept for step in range(1, len(seen) + 1)
             if self._apart(kept := list(range(0, len(seen), step)), at, sizes)), []
        )  # fmt: skip
        greedy: list[int] = []
        for i in range(len(seen)):
            if not greedy or self._apart([greedy[-1], i], at, sizes):
                greedy.append(i)
        kept = every if len(every) >= 0.7 * len(greedy) else greedy
        return [seen[i] for i in kept]

    def _extents(self, seen: list[int]) -> tuple[list[float], list[float]]:
        """Position and size of each label along the axis, in points."""
        axes, across = self.of.axes, isinstance(self.of, XAxis)
        places = np.array([self.places[i] for i in seen], float)
        transform = axes.get_xaxis_transform() if across else axes.get_yaxis_transform()
        pixels = transform.transform(np.column_stack([places, places]))[:, 0 if across else 1]
        sizes = [text_width(self.labels[i]) if across else float(SIZE) for i in seen]
        return [float(pixel) * 72 / root(axes).dpi for pixel in pixels], sizes

    def _apart(self, kept: list[int], at: list[float], sizes: list[float]) -> bool:
        """Whether labels leave room between each other."""
        return all(
            abs(at[j] - at[i]) >= (sizes[i] + sizes[j]) / 2 + self.apart for i, j in pairwise(kept)
        )


def root(axes: Axes) -> Figure:
    """The figure of the axes."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def text_width(text: str, size: float = SIZE) -> float:
    """Width of a text in points."""
    if text not in _WIDTHS:
        drawn = TextPath((0, 0), text, size=100, prop=FontProperties()) if text.strip() else None
        _WIDTHS[text] = float(drawn.get_extents().x1) / 100 if drawn is not None else 0.0
    return _WIDTHS[text] * size


def tried_axis(
    axis: Axis, values: Iterable[float], labels: Sequence[str] = (), apart: float = APART
) -> None:
    """Put ticks at values that were tried: long ones with a label if there is room, else short.

    Args:
        axis: of any scale; set the scale first.
        values: in data coordinates.
        labels: of the values; `number` by default.
        apart: points between two labels.
    """
    places = sorted({float(value) for value in values}) if not labels else list(values)
    names = list(labels) or [number(place) for place in places]
    axis.set_major_locator(Tried(axis, places, names, apart))
    shown = dict(zip(places, names, strict=True))
    axis.set_major_formatter(FuncFormatter(lambda at, _: _named(at, shown)))
    axis.set_minor_locator(FixedLocator(places) if places else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _named(at: float, shown: dict[float, str]) -> str:
    nearest = min(shown, key=lambda place: abs(place - at), default=math.nan)
    return shown[nearest] if math.isclose(nearest, at, rel_tol=1e-6, abs_tol=1e-12) else number(at)


def lr_axis(axes: Axes, lrs: Iterable[float], *, vertical: bool = False) -> None:
    """Make an axis of learning rates: logarithmic, with ticks at those that were tried."""
    _log_axis(axes, lrs, LR, vertical=vertical, base=10)


def batch_axis(axes: Axes, batches: Iterable[float]) -> None:
    """Make the x axis one of batch sizes: logarithmic, with ticks at those that were tried."""
    _log_axis(axes, batches, BATCH, vertical=False, base=2)


def log_ends(values: Iterable[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis that shows positive values with a margin."""
    tried = [float(value) for value in values if value > 0]
    low, high = min(tried), max(tried)
    room = (high / low) ** BEYOND if high > low else 2.0
    return low / room, high * room


def _log_axis(
    axes: Axes, values: Iterable[float], label: str, *, vertical: bool, base: int
) -> None:
    tried = sorted({float(value) for value in values if value > 0})
    axis, letter = (axes.yaxis, "y") if vertical else (axes.xaxis, "x")
    getattr(axes, f"set_{letter}scale")("log", base=base)
    axes.set(**{f"{letter}label": label})
    if tried:
        axes.set(**{f"{letter}lim": log_ends(tried)})
        tried_axis(axis, tried)


def log_values(axis: Axis, low: float, high: float) -> None:
    """Give a logarithmic axis labels at round numbers.

    Args:
        axis: of logarithmic scale.
        low: end of the axis.
        high: other end of the axis.
    """
    axis.axes.set(**{"xlim" if isinstance(axis, XAxis) else "ylim": (low, high)})
    places = round_values(low, high)
    tried_axis(axis, places)
    fine = [digit * 10.0**power for power in _decades(low, high) for digit in range(1, 10)]
    axis.set_minor_locator(FixedLocator(fine if high >= 10 * low else places))


def round_values(low: float, high: float) -> list[float]:
    """Round numbers about an interval of a logarithmic axis: decades, 1, 2, 5 or finer."""
    if high < 10 * low:
        return [float(at) for at in MaxNLocator(6).tick_values(low, high) if at > 0]
    digits = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    return [digit * 10.0**power for power in _decades(low, high) for digit in digits]


def _decades(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
