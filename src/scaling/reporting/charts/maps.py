"""Maps over batch size and learning rate, with one color scale over all settings."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import pandas as pd

from scaling.reporting.answer import Setting
from scaling.reporting.charts.axes import ceiling, finished

WIDE, NARROW = 640, 320  # pixels of a panel, alone and beside others
LABEL = 44  # pixels that the number of a cell needs
BEST = "#e4572e"  # outline of the lowest loss of a batch size


class Shade(NamedTuple):
    """A quantity that a map shows."""

    title: str
    scheme: Literal["viridis", "cividis"]
    form: str  # of the numbers in cells


SHADES = {
    "val_loss": Shade("validation loss (nats)", "viridis", ".3f"),
    "clip_percent": Shade("steps clipped (%)", "cividis", ".0f"),
    "grad_norm_pre_clip": Shade("gradient norm before clipping", "cividis", ".2g"),
}


def heatmaps(settings: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """A map of each quantity that was measured, by column; a panel for each setting."""
    maps = {}
    for column, shade in SHADES.items():
        cells = pd.concat([_means(one, column) for one in settings], ignore_index=True)
        if len(cells):
            maps[column] = finished(_panels(cells, column, shade, len(settings)))
    return maps


def _panels(cells: pd.DataFrame, column: str, shade: Shade, count: int) -> Any:
    width = WIDE if count == 1 else NARROW
    axis = alt.Axis(labelOverlap="greedy", labelAngle=0)
    base = alt.Chart().encode(
        x=alt.X("lr:O", title="learning rate", axis=axis),
        y=alt.Y("batch:O", title="batch", sort="ascending"),
    )
    number = alt.Tooltip("value:Q", title=shade.title, format=".4g")
    tooltip = [alt.Tooltip("setting:N"), alt.Tooltip("batch:O"), alt.Tooltip("lr:O"), number]
    layers = [base.mark_rect().encode(color=_color(cells, column, shade), tooltip=tooltip)]
    if width >= LABEL * cells["lr"].nunique():
        dark = alt.when("datum.dark").then(alt.value("#ffffff")).otherwise(alt.value("#000000"))
        label = base.mark_text(fontSize=11, style="cell")
        layers.append(label.encode(text=alt.Text("value:Q", format=shade.form), fill=dark))
    outline = base.transform_filter("datum.best")
    layers.append(outline.mark_rect(fillOpacity=0, stroke=BEST, strokeWidth=2.5))
    panel = alt.layer(*layers, data=cells).properties(
        width=width, height=26 * cells["batch"].nunique()
    )
    if count == 1:
        return panel
    header = alt.Header(title=None, labelLimit=width, labelAnchor="start")
    return panel.facet(facet=alt.Facet("setting:N", header=header), columns=2)


def _color(cells: pd.DataFrame, column: str, shade: Shade) -> alt.Color:
    low, high = _limits(cells["value"], column)
    log = column == "grad_norm_pre_clip" and high > 10 * low > 0
    scale = alt.Scale(
        scheme=shade.scheme, type="log" if log else "linear", domain=[low, high], clamp=True,
        reverse=column == "val_loss",
    )  # fmt: skip
    legend = alt.Legend(orient="top", gradientLength=240, titleLimit=300)
    return alt.Color("value:Q", title=shade.title, scale=scale, legend=legend)


def _limits(values: pd.Series, column: str) -> tuple[float, float]:
    """The ends of the color scale; that of losses follows the bowl and not the worst run."""
    if column == "clip_percent":
        return 0.0, 100.0
    high = ceiling(values) if column == "val_loss" else float(values.max())
    return float(values.min()), high


def _means(setting: Setting, column: str) -> pd.DataFrame:
    """The mean over seeds of each batch size and lr; `dark` where a label must be white."""
    rows = setting.rows
    if column not in rows:
        return pd.DataFrame()
    done = rows[rows["status"] == "done"]
    means = done.groupby(["batch", "lr"])[column].mean().dropna().reset_index(name="value")
    best = means["lr"] == means["batch"].map(setting.lowest)
    low, high = _limits(means["value"], column) if len(means) else (0.0, 1.0)
    share = (means["value"] - low) / (high - low or 1.0)
    dark = share > 0.5 if column == "val_loss" else share < 0.5
    return means.assign(best=best, dark=dark, setting=setting.title)
