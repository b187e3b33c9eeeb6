"""Loss and update against the clip, the largest gradient norm."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.contracts.metric import metric_of
from scaling.contracts.settings import by_setting
from scaling.figures.axes import log_values, number, tried_axis
from scaling.figures.labels import BESIDE
from scaling.figures.limits import Limits, bowl_limits, log_limits, means
from scaling.figures.marks import ROOM, draw_marks, entries, leaving, off_scale
from scaling.figures.palette import looks
from scaling.figures.panels import blank, panels, spread

TOGETHER = ("clip",)


def loss_against_clip(rows: pd.DataFrame) -> Figure:
    """Validation loss against the clip, a line for each batch size at its best lr."""
    best = [_at_best(block) for _, block in by_setting(rows, together=TOGETHER)]
    limits = bowl_limits(best, by="clip", near=np.inf)
    return _against_clip(rows, "val_loss", limits, metric_of(rows).label)


def update_against_clip(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update against the clip, a line for each batch size at its best lr."""
    best = [_at_best(block) for _, block in by_setting(rows, together=TOGETHER)]
    limits = log_limits(v for b in best for v in means(b, "update_norm", "clip")["mean"])
    return _against_clip(rows, "update_norm", limits, "mean norm of the update", log=True)


def _at_best(block: pd.DataFrame) -> pd.DataFrame:
    """The finished runs at the lr of each batch size with the lowest mean loss at any clip."""
    done = block[block["status"] == "done"]
    losses = done.groupby(["batch", "lr", "clip"])["val_loss"].mean().dropna()
    if losses.empty:
        return done.iloc[:0]
    best = losses.groupby(level="batch").idxmin().map(lambda key: key[1])
    chosen: pd.DataFrame = done[done["lr"] == done["batch"].map(best)]
    return chosen


def _against_clip(
    rows: pd.DataFrame, column: str, limits: Limits, label: str, *, log: bool = False
) -> Figure:
    """Panels of means over seeds against the clip, with one more place for no clipping."""
    styles = looks(rows)
    used = rows.loc[rows["status"].eq("done") & rows[column].notna(), "clip"]
    places = _places(sorted(used.unique().astype(float)))
    tables = [
        means(_at_best(block), column, "clip") for _, block in by_setting(rows, together=TOGETHER)
    ]
    marks = [mark for table in tables for mark in off_scale(table["mean"], limits)]

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        best = _at_best(block)
        table = means(best, column, "clip")
        if not np.isfinite(table.index.unique("clip").to_numpy(float)).any():
            blank(axes, "no clip to compare")
            return
        lrs = best.groupby("batch")["lr"].first()
        axes.set_xscale("log")
        for batch in table.index.unique("batch"):
            (color, marker), curve = styles[batch], table.loc[batch]
            axes.errorbar(
                [places[clip] for clip in curve.index], curve["mean"], yerr=spread(curve),
                color=color, marker=marker, markersize=3.5, linewidth=1.2, capsize=2,
                elinewidth=0.8, label=f"{batch:g} (lr {number(lrs[batch])})",
            )  # fmt: skip
        if log:
            axes.set_yscale("log")
            log_values(axes.yaxis, *limits.log_padded())
            _proportional(axes, table, places)
        elif limits.known:
            axes.set_ylim(limits.padded())
        draw_marks(axes, leaving(_placed(table, places), limits), styles)
        names = [f"{clip:g}" if np.isfinite(clip) else "none" for clip in places]
        tried_axis(axes.xaxis, list(places.values()), names)
        axes.set_xlabel("clip (largest gradient norm)")
        axes.set_ylabel(label)
        axes.legend(title="batch", alignment="left", **BESIDE)

    return panels(rows, draw, TOGETHER, above=ROOM + 3 if marks else 6.0, entries=entries(marks))


def _places(clips: list[float]) -> dict[float, float]:
    """Each clip with its place on the axis; that of no clipping is right of the others."""
    finite = [clip for clip in clips if np.isfinite(clip)]
    last = finite[-1] if finite else 1.0
    beyond = last * max(2.0, (last / finite[0]) ** 0.3 if finite else 2.0)
    return {clip: clip if np.isfinite(clip) else beyond for clip in clips}


def _placed(table: pd.DataFrame, places: Mapping[float, float]) -> pd.Series:
    """Means by batch size and place on the axis."""
    keys = [(batch, places[clip]) for batch, clip in table.index]
    return pd.Series(table["mean"].to_numpy(), index=pd.MultiIndex.from_tuples(keys))


def _proportional(axes: Axes, table: pd.DataFrame, places: Mapping[float, float]) -> None:
    """Draw a line proportional to the clip from the first point on."""
    finite = np.array([clip for clip in places if np.isfinite(clip)])
    first = table["mean"].iloc[0]
    axes.plot(finite, finite / table.index[0][1] * first, "--", color="0.6", linewidth=1,
              label="proportional")  # fmt: skip
