"""Training and validation losses over the steps of each run."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from scaling.reporting.answer import Setting
from scaling.reporting.charts.axes import batch_color, finished, rounded
from scaling.studies.sweep_tables import SweepTables

RUN = ["study", "run"]  # what identifies a run
POINTS = 200  # of a run; each is the mean of the steps between it and the one before
RUNS = 1000  # runs with curves; more would make the page slow


def curve_chart(settings: Sequence[Setting]) -> dict[str, Any]:
    """Losses over the steps; the page gives it the runs of the selected cells."""
    base = alt.Chart(alt.NamedData("curves"))
    y = alt.Y("loss:Q", title="loss (nats)", scale=alt.Scale(zero=False))
    tooltip = [alt.Tooltip("run:N"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".4f")]
    color = batch_color(sorted(pd.concat([one.rows["batch"] for one in settings]).unique()))
    detail = ["run:N", "of:N"]
    encoded = base.encode(x=alt.X("step:Q"), y=y, color=color, detail=detail)
    line = encoded.transform_filter("datum.of == 'train'").mark_line(strokeWidth=1, opacity=0.7)
    validation = encoded.transform_filter("datum.of == 'validation'")
    dots = validation.mark_point(filled=True, size=60, opacity=1).encode(tooltip=tooltip)
    spec = alt.layer(line.encode(tooltip=tooltip), dots).properties(width="container", height=280)
    return finished(spec)


def known(sweep: SweepTables) -> bool:
    """Whether losses over steps or evaluations were recorded."""
    return any(key in table for table, key in _tables(sweep))


def curves(sweep: SweepTables, settings: Sequence[Setting]) -> dict[str, Any]:
    """Loss curves of each run: `train` and `validation` are a place in `steps`, and losses.

    `best` marks the runs at the lr with the lowest mean loss of their batch size. Most runs have
    the same steps, which are stored once.
    """
    parts = [one.rows.assign(setting=one.title, best=_at_lowest(one)) for one in settings]
    runs = pd.concat(parts).query("status in ('done', 'diverged')").drop_duplicates(RUN)
    if len(runs) > RUNS:
        runs = pd.concat([runs[runs["best"]], runs[~runs["best"]]]).head(RUNS)
    kinds = ("train", "validation")
    losses = {
        kind: dict(iter(table.groupby(RUN, observed=True)[["step", key]])) if key in table else {}
        for kind, (table, key) in zip(kinds, _tables(sweep), strict=True)
    }
    steps: dict[tuple[int, ...], int] = {}
    lines = []
    for row in runs.to_dict("records"):
        found = {
            kind: _thinned(losses[kind][row["study"], row["run"]], steps)
            for kind in kinds
            if (row["study"], row["run"]) in losses[kind]
        }
        about = rounded({key: row[key] for key in ("run", "setting", "batch", "lr")})
        lines.append({**about, "best": bool(row["best"]), **found})
    return {"steps": list(steps), "runs": lines}


def _tables(sweep: SweepTables) -> tuple[tuple[pd.DataFrame, str], tuple[pd.DataFrame, str]]:
    return (sweep.steps, "train_loss"), (sweep.epochs, "val_loss")


def _at_lowest(setting: Setting) -> pd.Series:
    return setting.rows["lr"] == setting.rows["batch"].map(setting.lowest)


def _thinned(table: pd.DataFrame, known: dict[tuple[int, ...], int]) -> list[Any]:
    """The place of the steps and the losses, as means of at most `POINTS` groups of lines."""
    values = table.dropna().sort_values("step").to_numpy(float)
    values = values[np.isfinite(values).all(axis=1)]
    groups = np.array_split(values, min(POINTS, len(values))) if len(values) else []
    means = [group.mean(axis=0) for group in groups]
    steps = tuple(round(float(step)) for step, _ in means)
    return [known.setdefault(steps, len(known)), [float(f"{y:.4g}") for _, y in means]]
