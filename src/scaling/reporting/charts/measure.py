"""A measure of the runs against what was swept, for sweeps of one learning rate."""

from typing import Any

import altair as alt
import pandas as pd

from scaling.contracts.metric import LOSS, all_recorded_here, compared, metric_of
from scaling.contracts.settings import by_setting
from scaling.reporting.charts.axes import MARK, ROOM, finished

MEASURES = {  # column -> title
    "val_loss": LOSS.label,
    "train_loss": "training loss (nats)",
    "val_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "query_accuracy": "accuracy on the query",
}
NAMES, LINE = 170, 14  # pixels: width of the names of settings, height of a line of them
QUESTION = ("query_accuracy", "test_accuracy", "val_accuracy")  # shown first if measured


def measures(rows: pd.DataFrame) -> dict[str, str]:
    """The measures of finished runs that can be drawn, with their titles."""
    done = rows[rows["status"] == "done"]
    titles = MEASURES | {"val_loss": metric_of(rows).label}
    if not all_recorded_here(rows):
        titles |= {"train_loss": "training loss"}
    tables = {key: compared(done) if key.endswith("loss") else done for key in titles}
    return {key: titles[key] for key, t in tables.items() if key in t and t[key].notna().any()}


def accuracy_first(rows: pd.DataFrame) -> dict[str, str]:
    """The measures, accuracies first, which are the question of sweeps without learning rates."""
    known = measures(rows)
    first = [key for key in QUESTION if key in known]
    return {key: known[key] for key in [*first, *known]}


def varied_chart(rows: pd.DataFrame) -> dict[str, Any] | None:
    """A measure against the batch size, or else of each setting, with the range over seeds.

    Settings are below each other, because their names have no room side by side.
    """
    blocks = [(title, block[block["status"] == "done"]) for title, block in by_setting(rows)]
    several = rows["batch"].nunique() > 1
    keys = accuracy_first(rows)
    parts = []
    for title, block in blocks:
        for key in (key for key in keys if key in measures(block)):
            table = block.groupby("batch")[key].agg(["mean", "min", "max", "count"]).reset_index()
            parts.append(table.assign(measure=key, setting=title))
    if not parts or (not several and len(blocks) < 2):
        return None
    cells = pd.concat(parts, ignore_index=True)
    color: alt.Color | Any = alt.value(MARK)
    if several and len(blocks) > 1:
        color = alt.Color("setting:N", legend=alt.Legend(orient="top", labelLimit=400))
    shown = next(iter(keys.values())) if len(keys) == 1 else None
    scale = alt.Scale(zero=False)
    place: Any
    mean: Any
    if several:
        ticks = alt.Axis(labelAngle=0)
        place = alt.X("batch:O", title="batch (examples per step)", axis=ticks)
        mean = alt.Y("mean:Q", title=shown, scale=scale, axis=alt.Axis(minExtent=ROOM))
        ends, height = {"y": "min:Q", "y2": "max:Q"}, 300
    else:
        names = alt.Axis(labelExpr="split(datum.label, ', ')", labelLimit=NAMES)
        place = alt.Y("setting:N", title=None, sort=None, axis=names)
        mean = alt.X("mean:Q", title=shown, scale=scale)
        lines = sum(2 + title.count(", ") for title in cells["setting"].unique())
        ends, height = {"x": "min:Q", "x2": "max:Q"}, LINE * lines
    tooltip = [
        alt.Tooltip("setting:N"),
        alt.Tooltip("batch:O"),
        *(alt.Tooltip(f"{key}:Q", format=".4f") for key in ("mean", "min", "max")),
        alt.Tooltip("count:Q", title="runs"),
    ]
    base = alt.Chart(cells).transform_filter("datum.measure == measure").encode(place, color=color)
    layers = [
        base.mark_rule(strokeWidth=1.5).encode(**ends),
        base.mark_point(filled=True, size=80, opacity=1).encode(mean, tooltip=tooltip),
    ]
    spec = alt.layer(*layers).properties(width="container", height=height)
    return finished(spec.add_params(alt.param(name="measure", value=next(iter(keys)))))
