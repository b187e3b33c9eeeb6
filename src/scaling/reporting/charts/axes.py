"""Axes, colors and numbers that the interactive figures share."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

MARK = "#d0418f"  # of a single series
ROOM = 44  # pixels left of a plot, so that plots below each other are aligned
# From small to large batches; every color has a contrast of 3 on white and on black pages.
RAMP = LinearSegmentedColormap.from_list(
    "batches", ["#2f6fde", "#7a5be6", "#b046cf", "#d0418f", "#d9534a", "#c27a12"]
)


def batch_color(batches: Sequence[float], *, legend: bool = True) -> alt.Color:
    """A color for each batch size."""
    shades = [to_hex(RAMP(x)) for x in np.linspace(0, 1, max(len(batches), 2))][: len(batches)]
    scale = alt.Scale(domain=list(batches), range=shades)
    shown = alt.Legend(symbolType="circle", symbolOpacity=1, orient="top") if legend else None
    return alt.Color("batch:O", title="batch", scale=scale, legend=shown)


def log_scale(values: Sequence[float], base: int = 10) -> alt.Scale:
    """A logarithmic scale that ends a little beyond the values."""
    low, high = min(values), max(values)
    return alt.Scale(type="log", base=base, domain=[low / 1.5, high * 1.5], nice=False)


def lr_axis(lrs: Sequence[float]) -> alt.Axis:
    """Ticks at the learning rates that were tried; labels that would overlap are left out."""
    return alt.Axis(values=list(map(float, lrs)), format="~g", labelOverlap="greedy")


def shown_setting(settings: Sequence[Any]) -> alt.Parameter:
    """The signal of the setting that is shown, which a menu of the page changes."""
    return alt.param(name="setting", value=settings[0].title)


def finished(chart: Any) -> dict[str, Any]:
    """The specification, with numbers of six digits; missing ones are null.

    It is not checked against the schema of Vega-Lite, which takes as long as to make it: no table
    can make it invalid.
    """
    with alt.data_transformers.disable_max_rows():
        spec: dict[str, Any] = rounded(chart.to_dict(validate=False))
    return spec


def rounded(value: Any) -> Any:
    """A value, or those of a list or dict, with six digits; missing numbers are None."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
