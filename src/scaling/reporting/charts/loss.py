"""A measure of the runs against the learning rate, with fitted bowls and their best rates."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from scaling.figures.limits import Limits, bowl_limits, references
from scaling.reporting.answer import Setting
from scaling.reporting.charts.axes import (
    ROOM,
    batch_color,
    finished,
    log_scale,
    lr_axis,
    shown_setting,
)
from scaling.reporting.charts.measure import measures

POINTS = 24  # of a fitted bowl
BESIDE = 1.25  # a bowl is drawn within so many steps of the grid on each side of its best lr


def loss_chart(settings: Sequence[Setting]) -> dict[str, Any]:
    """A measure against the learning rate, a line for each batch size, with fitted bowls.

    A point is the mean over seeds, and the line through it their range.
    """
    limits = bowl_limits(one.rows for one in settings)
    cells = pd.concat([_cells(one, limits) for one in settings], ignore_index=True)
    lrs, batches = sorted(cells["lr"].unique()), sorted(cells["batch"].unique())
    isolated = alt.selection_point(fields=["batch"], bind="legend", name="isolated")
    faint = alt.when(isolated).then(alt.value(1.0)).otherwise(alt.value(0.12))
    x = alt.X("lr:Q", title="learning rate", scale=log_scale(lrs), axis=lr_axis(lrs))
    axis, scale = alt.Axis(minExtent=ROOM), alt.Scale(zero=False, nice=True)
    y = alt.Y("shown:Q", title=None, scale=scale, axis=axis)  # the page names it
    look: dict[str, Any] = {"x": x, "color": batch_color(batches), "opacity": faint}
    base = _chosen(alt.Chart(cells)).encode(**look)
    dots = base.mark_point(filled=True, size=70, clip=True)
    layers = [
        base.mark_rule(strokeWidth=1.5, clip=True).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.2, clip=True).encode(y=y),
        dots.encode(y=y, shape=_shape(cells), tooltip=_tooltip()).add_params(isolated),
    ]
    if len(bowls := _bowls(settings)):
        fitted = _chosen(alt.Chart(bowls)).encode(**look)
        layers.insert(0, fitted.mark_line(strokeDash=[5, 3], strokeWidth=2, clip=True).encode(y=y))
    if len(levels := _references(settings, cells)):
        without = _chosen(alt.Chart(levels)).transform_filter("baselines")
        rule = without.mark_rule(strokeDash=[2, 2], color="#8a93a3", clip=True).encode(y=y)
        name = without.mark_text(
            align="left", baseline="bottom", dx=4, dy=-2, clip=True, color="#7b8494"
        )
        layers += [rule, name.encode(y=y, x=alt.value(0), text="name:N")]
    params = [alt.param(name="measure", value=cells["measure"].iloc[0])]
    params += [shown_setting(settings), alt.param(name="baselines", value=True)]
    main = alt.layer(*layers).properties(width="container", height=330)
    return finished(main.add_params(*params))


def _shape(cells: pd.DataFrame) -> alt.Shape:
    """Circles, and other shapes at the top for what is off the scale."""
    shapes = {
        "done": "circle",
        "above the scale": "triangle-up",
        "below the scale": "triangle-down",
        "diverged": "cross",
    }
    shapes = {note: shape for note, shape in shapes.items() if note in set(cells["note"])}
    scale = alt.Scale(domain=list(shapes), range=list(shapes.values()))
    legend = None if set(cells["note"]) == {"done"} else alt.Legend(orient="top")
    return alt.Shape("note:N", title="run", scale=scale, legend=legend)


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("batch:O"),
        alt.Tooltip("lr:Q", format="~g"),
        alt.Tooltip("mean:Q", format=".4f"),
        alt.Tooltip("least:Q", title="lowest seed", format=".4f"),
        alt.Tooltip("most:Q", title="highest seed", format=".4f"),
        alt.Tooltip("seeds:Q", title="finished seeds"),
        alt.Tooltip("clipped:Q", title="steps clipped (%)", format=".0f"),
        alt.Tooltip("note:N", title="status"),
        alt.Tooltip("run:N", title="a run"),
    ]


def _cells(setting: Setting, limits: Limits) -> pd.DataFrame:
    """A line per measure, batch size and lr: the mean over seeds, and where it is drawn.

    Validation losses beyond the limits, and diverged runs, are drawn at them.
    """
    rows = setting.rows
    done = rows[rows["status"] == "done"]
    keys = ["batch", "lr"]
    cells = rows.groupby(keys).agg(run=("run", "first"), status=("status", _worst))
    clipped = done.groupby(keys)["clip_percent"].mean() if "clip_percent" in done else math.nan
    parts = []
    for measure in measures(rows) or {"val_loss": ""}:
        table = done.groupby(keys)[measure].agg(["mean", "min", "max", "count"])
        table = cells.join(table).assign(clipped=clipped, measure=measure, setting=setting.title)
        bounded = measure == "val_loss" and limits.known
        low, high = (limits.low, limits.high) if bounded else (-math.inf, math.inf)
        diverged, mean = table["status"] == "diverged", table["mean"]
        notes = {"diverged": diverged, "above the scale": mean > high}
        notes |= {"below the scale": mean < low}
        table["note"] = np.select(list(notes.values()), list(notes), "done")
        table["shown"] = mean.where(~diverged, high).clip(low, high)
        spread = (table["note"] == "done") & (table["min"] < table["max"])
        table["low"], table["high"] = table["min"].where(spread), table["max"].clip(upper=high)
        parts.append(table[np.isfinite(table["shown"])].reset_index())
    names = {"min": "least", "max": "most", "count": "seeds"}
    return pd.concat(parts, ignore_index=True).rename(columns=names).drop(columns="status")


def _worst(statuses: pd.Series) -> str:
    return "diverged" if (statuses == "diverged").any() else "done"


def _bowls(settings: Sequence[Setting]) -> pd.DataFrame:
    parts = []
    for setting in settings:
        for one in setting.optima:
            if not (one.has_bowl and math.isfinite(one.curvature)):
                continue
            tried = np.unique(setting.rows.loc[setting.rows["batch"] == one.batch, "lr"])
            beside = float(np.median(tried[1:] / tried[:-1])) ** BESIDE
            low, high = max(one.lr / beside, tried[0]), min(one.lr * beside, tried[-1])
            if low < high:
                lrs = np.geomspace(low, high, POINTS)
                line = {"lr": lrs, "shown": one.bowl(lrs), "batch": one.batch}
                about = {"setting": setting.title, "measure": "val_loss"}
                parts.append(pd.DataFrame(line).assign(**about))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _references(settings: Sequence[Setting], cells: pd.DataFrame) -> pd.DataFrame:
    """Losses that need no learning, within the losses of the runs, and the nearest one."""
    lines = []
    for setting in settings:
        shown = cells.loc[(cells["setting"] == setting.title) & (cells["measure"] == "val_loss")]
        if shown.empty:
            continue
        low, high = float(shown["shown"].min()), float(shown["shown"].max())
        levels = references(setting.rows)
        below = [level for level in levels.values() if level < low]
        floor = max(below, default=low)
        lines += [
            {"setting": setting.title, "measure": "val_loss", "name": name, "shown": level}
            for name, level in levels.items()
            if min(floor, low) <= level <= high
        ]
    return pd.DataFrame(lines)


def _chosen(chart: alt.Chart) -> alt.Chart:
    return chart.transform_filter("datum.setting == setting && datum.measure == measure")
