"""Loss and update against the ceiling on the gradient norm."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from scaling.contracts.metric import metric_of
from scaling.figures.panels import blank, colors, panels, spread


def loss_against_clip(rows: pd.DataFrame) -> Figure:
    """Validation loss against the ceiling, a line for each batch size at its best lr."""
    return panels(rows, _against_clip("val_loss", metric_of(rows).label), ("clip",))


def update_against_clip(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update against the ceiling, a line for each batch size at its best lr."""
    return panels(rows, _against_clip("update_norm", "mean norm of the update"), ("clip",))


def _against_clip(column: str, label: str) -> Callable[[pd.DataFrame, Axes], None]:
    """A panel of means over seeds against the clip, with one more place for no clipping."""

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        done = block[(block["status"] == "done") & block[column].notna()]
        clips = np.sort(done["clip"].unique().astype(float))
        finite = clips[np.isfinite(clips)]
        if not len(finite):
            blank(axes, "no clip to compare")
            return
        places = {clip: clip if np.isfinite(clip) else finite[-1] * 4 for clip in clips}
        start = 0.0
        for batch, color in colors(done):
            runs = done[done["batch"] == batch]
            losses = runs.groupby(["lr", "clip"])["val_loss"].mean().reset_index()
            lr = float(losses["lr"].iloc[int(losses["val_loss"].argmin())])
            means = runs[runs["lr"] == lr].groupby("clip")[column].agg(["mean", "min", "max"])
            start = start or float(means["mean"].iloc[0])
            axes.errorbar(
                [places[c] for c in means.index], means["mean"], yerr=spread(means), color=color,
                marker="o", markersize=4, linewidth=1.5, capsize=2, label=f"{batch:g} (lr {lr:g})",
            )  # fmt: skip
        if column == "update_norm":
            axes.plot(finite, finite / finite[0] * start, "--", color="0.6", linewidth=1)
            axes.set_yscale("log")
        axes.set_xscale("log")
        axes.set_xticks(
            list(places.values()), [f"{c:g}" if np.isfinite(c) else "none" for c in places]
        )
        axes.xaxis.set_minor_locator(NullLocator())
        if column == "update_norm":
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("clip (ceiling on the gradient norm)")
        axes.set_ylabel(label)
        axes.legend(title="batch", framealpha=0.8)

    return draw
