"""Colors and markers of batch sizes, and the color of text on a color."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.typing import ColorType

Color = tuple[float, float, float]
# Lightness rises from 8 to 68 of 100 and the hue turns, so that seven shades differ by more than 40
# and twelve by more than 20 (CIE 1976), and the lightest has a contrast of 2.5 to white.
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#1b0c42", "#3b3fc0", "#0089b8", "#00a06a", "#8aa800", "#f08c1e"]
)
READABLE = 4.5  # contrast of text, by WCAG 2
MARKERS = "osD"  # neighbouring sizes differ in their marker, too


class Look(NamedTuple):
    """Color and marker of the runs of one batch size."""

    color: Color
    marker: str


def shades(count: int) -> list[Color]:
    """Colors of an ordered quantity, from dark to light."""
    ends = np.linspace(0, 1, count) if count > 2 else [0.2, 0.65][:count]
    return [to_rgb(SHADES(end)) for end in ends]


def colors_of(values: Iterable[Hashable]) -> dict[Hashable, Color]:
    """Each of some ordered values with its color."""
    names = list(values)
    return dict(zip(names, shades(len(names)), strict=True))


def looks(rows: pd.DataFrame) -> dict[float, Look]:
    """Each batch size of the rows with its color and marker, smallest first."""
    batches = sorted({float(batch) for batch in rows["batch"].dropna()})
    colors = shades(len(batches))
    return {
        batch: Look(color, MARKERS[i % len(MARKERS)])
        for i, (batch, color) in enumerate(zip(batches, colors, strict=True))
    }


def luminance(color: Iterable[float]) -> float:
    """Relative luminance of a color, from 0 to 1, as WCAG 2 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in list(color)[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Iterable[float], other: Iterable[float]) -> float:
    """Contrast of two colors, from 1 to 21, as WCAG 2 defines it; text needs 4.5."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink(color: ColorType) -> Color:
    """The color, as dark as text on white needs to be for a contrast of 4.5."""
    red, green, blue = to_rgb(color)
    while contrast((red, green, blue), (1.0, 1.0, 1.0)) < READABLE:
        red, green, blue = 0.95 * red, 0.95 * green, 0.95 * blue
    return red, green, blue


def text_on(color: Iterable[float]) -> str:
    """Black or white, whichever has more contrast to a color; it is at least 4.5."""
    color = list(color)
    return max(("black", "white"), key=lambda text: contrast(to_rgb(text), color))
