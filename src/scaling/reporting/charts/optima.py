"""Best learning rates with their intervals, over the learning rate and over the batch size."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from scaling.figures.axes import round_values
from scaling.reporting.answer import Setting
from scaling.reporting.charts.axes import (
    MARK,
    ROOM,
    batch_color,
    finished,
    log_scale,
    lr_axis,
    shown_setting,
)
from scaling.reporting.optimum_words import best_lr
from scaling.studies import law_words

POINTS = 48  # of a law
BEYOND = 4.0  # a law is tabulated up to so many times beyond its batch sizes
CHOSEN = "datum.setting == setting"


def interval_chart(settings: Sequence[Setting]) -> dict[str, Any] | None:
    """The best lr of each batch size with its interval; arrows at open ends."""
    lines = pd.DataFrame(_intervals(settings))
    if lines.empty:
        return None
    lrs = sorted(set(np.concatenate([one.rows["lr"].dropna() for one in settings])))
    title = "best learning rate, 95 % interval"
    x = alt.X("low:Q", title=title, scale=log_scale(lrs), axis=lr_axis(lrs))
    batches = sorted(lines["batch"].unique())
    base = (
        alt.Chart(lines)
        .transform_filter(CHOSEN)
        .encode(
            y=alt.Y("batch:O", title=None, sort=batches, axis=alt.Axis(minExtent=ROOM)),
            color=batch_color(batches, legend=False),
            tooltip=[alt.Tooltip("batch:O"), alt.Tooltip("text:N", title="best lr")],
        )
    )
    layers = [base.mark_rule(strokeWidth=3).encode(x=x, x2="high:Q")]
    located = base.transform_filter("isValid(datum.lr)")
    layers.append(located.mark_point(filled=True, size=70, opacity=1).encode(x="lr:Q"))
    for end, shape in (("low", "triangle-left"), ("high", "triangle-right")):
        arrow = base.transform_filter(f"datum.open == '{end}'")
        arrow = arrow.mark_point(shape=shape, filled=True, size=90, opacity=1)
        layers.append(arrow.encode(x=f"{end}:Q"))
    height = 20 * len(batches)
    spec = alt.layer(*layers).properties(width="container", height=height)
    return finished(spec.add_params(shown_setting(settings)))


def law_chart(settings: Sequence[Setting]) -> dict[str, Any] | None:
    """Best learning rates against batch size, with the law, its prediction band, and two rules."""
    points = pd.DataFrame(_intervals(settings))
    if points.empty or points["batch"].nunique() < 2:
        return None
    batches = sorted(points["batch"].unique())
    x = alt.X(
        "batch:Q", title="batch (examples per step)", scale=log_scale(batches, base=2),
        axis=alt.Axis(values=batches, format="~f", labelOverlap="greedy"),
    )  # fmt: skip
    ends = points[["low", "high"]].to_numpy()
    lrs = sorted(set(np.concatenate([one.rows["lr"].dropna() for one in settings])))
    low, high = ends.min() / 1.2, ends.max() * 1.2
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    if len([lr for lr in lrs if low < lr < high]) < 3:  # a coarse grid gives no scale
        lrs = round_values(low, high)
    y = alt.Y("lr:Q", title="best learning rate", scale=scale, axis=lr_axis(lrs))
    layers: list[alt.Chart] = []
    if len(bands := pd.DataFrame(_bands(settings))):
        band = alt.Chart(bands).transform_filter(CHOSEN).encode(x=x)
        area = band.mark_area(opacity=0.2, clip=True)
        layers += [area.encode(y="low:Q", y2="high:Q"), band.mark_line(clip=True).encode(y=y)]
        dash = alt.StrokeDash("rule:N", title="scaling for comparison", legend=alt.Legend())
        rule = alt.Chart(pd.DataFrame(_rules(settings))).transform_filter(CHOSEN)
        line = rule.mark_line(color="#8a93a3", strokeWidth=1.5, clip=True)
        layers.append(line.encode(x=x, y=y, strokeDash=dash))
    base = alt.Chart(points).transform_filter(CHOSEN).encode(x=x)
    tooltip = [alt.Tooltip("batch:Q"), alt.Tooltip("text:N", title="best lr")]
    layers += [
        base.mark_rule(color=MARK, clip=True).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=80, color=MARK, opacity=1).encode(y=y, tooltip=tooltip),
    ]
    for end, shape in (("low", "triangle-down"), ("high", "triangle-up")):
        arrow = base.transform_filter(f"datum.open == '{end}'")
        mark = arrow.mark_point(shape=shape, filled=True, size=90, color=MARK, opacity=1)
        layers.append(mark.encode(y=f"{end}:Q", tooltip=tooltip))
    spec = alt.layer(*layers).properties(width="container", height=320)
    return finished(spec.add_params(shown_setting(settings)))


def predictions(settings: Sequence[Setting]) -> dict[str, dict[str, list[float]]]:
    """The best lr predicted for many batch sizes, by setting.

    Each has `batch`, `lr`, `low` and `high`, and `fitted`, the smallest and largest batch size of
    the law: a prediction beyond them extrapolates.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for one in settings:
        if one.law is None or not one.law.identified:
            continue
        least, most = one.law.optima[0].batch, one.law.optima[-1].batch
        batches = np.geomspace(least / BEYOND, most * BEYOND, POINTS)
        table = one.law.predict(pd.DataFrame({"batch": batches}))
        columns: dict[str, Any] = {
            "batch": batches,
            **{key: table[key] for key in ("lr", "low", "high")},
        }
        numbers = {key: [float(f"{x:.4g}") for x in column] for key, column in columns.items()}
        found[one.title] = numbers | {"fitted": [least, most]}
    return found


def _intervals(settings: Sequence[Setting]) -> Iterator[dict[str, Any]]:
    """A line for each batch size with an interval; open ends are cut beyond the grid."""
    for setting in settings:
        lrs = setting.rows["lr"].dropna()
        least, most = lrs.min() / 1.4, lrs.max() * 1.4
        for one in setting.optima:
            if math.isnan(one.low):
                continue
            yield {
                "setting": setting.title, "batch": one.batch, "text": best_lr(one),
                "lr": one.lr if one.status == "interior" else None,
                "low": max(one.low, least), "high": min(one.high, most),
                "open": {"low_edge": "low", "high_edge": "high"}.get(one.status, ""),
            }  # fmt: skip


def _bands(settings: Sequence[Setting]) -> Iterator[dict[str, Any]]:
    for title, law in predictions(settings).items():
        for i in range(POINTS):
            yield {"setting": title, **{key: law[key][i] for key in ("batch", "lr", "low", "high")}}


def _rules(settings: Sequence[Setting]) -> Iterator[dict[str, Any]]:
    """Square-root and linear scaling through the middle of the law."""
    for one in settings:
        if one.law is None or not one.law.identified:
            continue
        least, most = one.law.optima[0].batch, one.law.optima[-1].batch
        middle = math.sqrt(least * most)
        lr = law_words.predicted(one.law, middle)[0]
        for name, exponent in (("square root", 0.5), ("linear", 1.0)):
            for batch in (least / 1.3, most * 1.3):
                at = lr * (batch / middle) ** exponent
                yield {"setting": one.title, "rule": name, "batch": batch, "lr": at}
