"""Maps over batch size and learning rate, with one color scale over all settings."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import matplotlib as mpl
import pandas as pd
from matplotlib.colors import LogNorm, Normalize

from scaling.contracts.metric import LOSS, metric_of
from scaling.figures.limits import Limits, bowl_limits
from scaling.figures.palette import text_on
from scaling.reporting.answer import Setting
from scaling.reporting.charts.axes import finished

WIDE, NARROW = 640, 320  # pixels of a panel, alone and beside others
LABEL = 44  # pixels that the number of a cell needs
BEST = "#e4572e"  # outline of the lowest loss of a batch size


class Shade(NamedTuple):
    """A quantity that a map shows."""

    title: str
    scheme: Literal["viridis", "cividis"]
    form: str  # of the numbers in cells


SHADES = {
    "val_loss": Shade(LOSS.label, "viridis", ".3f"),
    "clip_percent": Shade("steps clipped (%)", "cividis", ".0f"),
    "grad_norm_pre_clip": Shade("gradient norm before clipping", "cividis", ".2g"),
}


def heatmaps(settings: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """A map of each quantity that was measured, by column; a panel for each setting."""
    maps = {}
    bowls = bowl_limits(one.rows for one in settings)
    for column, shade in shades(settings[0].rows).items():
        cells = pd.concat([_means(one, column) for one in settings], ignore_index=True)
        if len(cells):
            scale = _scale(cells["value"], column, shade, bowls)
            cells["ink"] = _inks(cells["value"], scale, reverse=column == "val_loss")
            maps[column] = finished(_panels(cells, scale, shade, len(settings)))
    return maps


def shades(rows: pd.DataFrame) -> dict[str, Shade]:
    """The quantities with their titles, which depend on what was minimised."""
    return SHADES | {"val_loss": SHADES["val_loss"]._replace(title=metric_of(rows).label)}


def _panels(cells: pd.DataFrame, scale: alt.Scale, shade: Shade, count: int) -> Any:
    width = WIDE if count == 1 else NARROW
    axis = alt.Axis(labelOverlap="greedy", labelAngle=0)
    base = alt.Chart().encode(
        x=alt.X("lr:O", title="learning rate", axis=axis),
        y=alt.Y("batch:O", title="batch", sort="ascending"),
    )
    number = alt.Tooltip("value:Q", title=shade.title, format=".4g")
    tooltip = [alt.Tooltip("setting:N"), alt.Tooltip("batch:O"), alt.Tooltip("lr:O"), number]
    legend = alt.Legend(orient="top", gradientLength=240, titleLimit=300)
    color = alt.Color("value:Q", title=shade.title, scale=scale, legend=legend)
    layers = [base.mark_rect().encode(color=color, tooltip=tooltip)]
    if width >= LABEL * cells["lr"].nunique():
        label = base.mark_text(fontSize=11)
        ink = alt.Fill("ink:N", scale=None)
        layers.append(label.encode(text=alt.Text("value:Q", format=shade.form), fill=ink))
    outline = base.transform_filter("datum.best")
    layers.append(outline.mark_rect(fillOpacity=0, stroke=BEST, strokeWidth=2.5))
    panel = alt.layer(*layers, data=cells).properties(
        width=width, height=26 * cells["batch"].nunique()
    )
    if count == 1:
        return panel
    header = alt.Header(title=None, labelLimit=width, labelAnchor="start")
    return panel.facet(facet=alt.Facet("setting:N", header=header), columns=2)


def _scale(values: pd.Series, column: str, shade: Shade, bowls: Limits) -> alt.Scale:
    """The scale of colors; that of losses follows the bowls and not the worst run."""
    low, high = float(values.min()), float(values.max())
    if column == "clip_percent":
        low, high = 0.0, 100.0
    elif column == "val_loss" and bowls.known:
        low, high = max(low, bowls.low), min(high, bowls.high)
    log = column == "grad_norm_pre_clip" and high > 10 * low > 0
    return alt.Scale(
        scheme=shade.scheme, type="log" if log else "linear", domain=[low, high], clamp=True,
        reverse=column == "val_loss",
    )  # fmt: skip


def _inks(values: pd.Series, scale: Any, *, reverse: bool) -> list[str]:
    """Black or white for the number of each cell, whichever is easier to read on its color."""
    kind = LogNorm if scale["type"] == "log" else Normalize
    share = kind(*scale["domain"], clip=True)(values.to_numpy(float))
    colors = mpl.colormaps[str(scale["scheme"])](1 - share if reverse else share)
    return [text_on(color) for color in colors]


def _means(setting: Setting, column: str) -> pd.DataFrame:
    """The mean over seeds of each batch size and lr; `best` where the loss is lowest."""
    rows = setting.rows
    if column not in rows:
        return pd.DataFrame()
    done = rows[rows["status"] == "done"]
    means = done.groupby(["batch", "lr"])[column].mean().dropna().reset_index(name="value")
    best = means["lr"] == means["batch"].map(setting.lowest)
    return means.assign(best=best, setting=setting.title)
