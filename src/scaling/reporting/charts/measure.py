"""A measure of the runs against what was swept, where that is no learning rate."""

from typing import Any

import altair as alt
import pandas as pd

from scaling.contracts.metric import LOSS, metric_of
from scaling.contracts.settings import by_setting
from scaling.reporting.charts.axes import MARK, ROOM, finished

MEASURES = {  # column -> title
    "val_loss": LOSS.label,
    "train_loss": "training loss (nats)",
    "val_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "query_accuracy": "accuracy on the query",
}
QUESTION = ("query_accuracy", "test_accuracy", "val_accuracy")  # shown first where measured


def measures(rows: pd.DataFrame) -> dict[str, str]:
    """The measures of finished runs that can be drawn, with their titles."""
    done = rows[rows["status"] == "done"]
    titles = MEASURES | {"val_loss": metric_of(rows).label}
    return {key: t for key, t in titles.items() if key in done and done[key].notna().any()}


def accuracy_first(rows: pd.DataFrame) -> dict[str, str]:
    """The measures with accuracies first: the question of sweeps over other things than lr."""
    known = measures(rows)
    first = [key for key in QUESTION if key in known]
    return {key: known[key] for key in [*first, *known]}


def varied_chart(rows: pd.DataFrame) -> dict[str, Any] | None:
    """A measure against the batch size, or else the setting, with the range over seeds."""
    blocks = [(title, block[block["status"] == "done"]) for title, block in by_setting(rows)]
    several = rows["batch"].nunique() > 1
    keys = accuracy_first(rows)
    parts = []
    for title, block in blocks:
        for key in (key for key in keys if key in block and block[key].notna().any()):
            table = block.groupby("batch")[key].agg(["mean", "min", "max", "count"]).reset_index()
            parts.append(table.assign(measure=key, setting=title))
    if not parts or (not several and len(blocks) < 2):
        return None
    cells = pd.concat(parts, ignore_index=True)
    ticks = alt.Axis(labelAngle=0, labelLimit=260)
    x = alt.X("setting:N", title=None, sort=None, axis=ticks)
    color: alt.Color | Any = alt.value(MARK)
    if several:
        x = alt.X("batch:O", title="batch (examples per step)", axis=ticks)
        if len(blocks) > 1:
            color = alt.Color("setting:N", legend=alt.Legend(orient="top", labelLimit=400))
    shown = next(iter(keys.values())) if len(keys) == 1 else None
    axis = alt.Axis(minExtent=ROOM)
    y = alt.Y("mean:Q", title=shown, scale=alt.Scale(zero=False), axis=axis)
    tooltip = [
        alt.Tooltip("setting:N"),
        alt.Tooltip("batch:O"),
        *(alt.Tooltip(f"{key}:Q", format=".4f") for key in ("mean", "min", "max")),
        alt.Tooltip("count:Q", title="runs"),
    ]
    base = alt.Chart(cells).transform_filter("datum.measure == measure").encode(x=x, color=color)
    layers = [
        base.mark_rule(strokeWidth=1.5).encode(y="min:Q", y2="max:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(y=y, tooltip=tooltip),
    ]
    spec = alt.layer(*layers).properties(width="container", height=300)
    return finished(spec.add_params(alt.param(name="measure", value=next(iter(keys)))))
