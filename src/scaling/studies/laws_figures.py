"""The best learning rate against batch size, and the law through it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis import optima
from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.powerlaws import learning_rate_law
from scaling.figures.axes import batch_axis, lr_axis
from scaling.figures.panels import blank, note, panels

ROOM = 2.0  # factor of lr beyond the grid that is drawn
OPEN = {"low_edge": "v", "high_edge": "^"}


def optimal_lr(rows: pd.DataFrame, flat: float | None = None) -> Figure:
    """Best learning rate against batch size: optima, and the law fitted to losses near them.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    used = rows[rows["status"] != "corrupt"]
    lrs, batches = (sorted(map(float, used[key].unique())) for key in ("lr", "batch"))

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        if block.loc[block["status"] == "done", "lr"].nunique() < 2:
            blank(axes, "no lr to choose from")
            return
        batch_axis(axes, batches)
        lr_axis(axes, lrs, vertical=True)
        axes.set_ylim(lrs[0] / ROOM, lrs[-1] * ROOM)
        axes.set_ylabel("best learning rate")
        for edge in (float(block["lr"].min()), float(block["lr"].max())):
            axes.axhline(edge, color="0.5", linestyle=":", linewidth=1, zorder=0.5,
                         label="ends of the grid")  # fmt: skip
        _optima(block, axes, flat)
        _law(block, axes, flat)

    return panels(rows, draw)


def _optima(block: pd.DataFrame, axes: Axes, flat: float | None) -> None:
    """Draw each optimum with its interval; an open end is an arrow."""
    best = {one.batch: one.argmin for one in naive_optima(block)}
    low, high = axes.get_ylim()
    for optimum in optima.optimum(block, flat=flat):
        if np.isnan(optimum.lr):
            if optimum.batch in best:
                axes.plot(optimum.batch, best[optimum.batch], "o", color="0.4", fillstyle="none",
                          label="lowest loss, no clear optimum")  # fmt: skip
            continue
        ends = np.clip([optimum.low, optimum.high], low, high)
        reach = [[optimum.lr - ends[0]], [ends[1] - optimum.lr]]
        marker = OPEN.get(optimum.status, "o")
        name = "optimum, 95 %" if marker == "o" else "best tried, optimum\nmay lie beyond"
        axes.errorbar(
            optimum.batch, optimum.lr, yerr=reach, fmt=marker, color="black", markersize=5,
            elinewidth=1, label=name,
        )  # fmt: skip
        for is_open, end, tip in (
            (optimum.low < low, low, "v"), (optimum.high > high, high, "^")
        ):  # fmt: skip
            if is_open:
                axes.plot([optimum.batch] * 2, [end] * 2, tip, color="black", markersize=4,
                          clip_on=False)  # fmt: skip


def _law(block: pd.DataFrame, axes: Axes, flat: float | None) -> None:
    """Draw the law through the optima, or note why it is missing."""
    law = learning_rate_law(block, flat=flat)
    if not law.identified:
        note(axes, f"no exponent: {law.reason}")
    else:
        batches, _, lows, highs = zip(*law.optima, strict=True)
        lrs = [law.constant * batch**law.exponent for batch in batches]
        note(axes, f"exponent {law.exponent:.2f} ({law.low:.2f} to {law.high:.2f})")
        axes.plot(batches, lrs, color="C0", label="power law")
        axes.fill_between(batches, lows, highs, color="C0", alpha=0.2, linewidth=0)
        if law.form != "power":
            fine = pd.DataFrame({"batch": np.geomspace(batches[0], batches[-1], 100)})
            curve = law.predict(fine)
            axes.plot(fine["batch"], curve["lr"], color="C1", label=f"{law.form} law")
            axes.fill_between(
                fine["batch"], curve["low"], curve["high"], color="C1", alpha=0.15, linewidth=0
            )
        _theories(axes, batches, lrs)


def _theories(axes: Axes, batches: Sequence[float], lrs: Sequence[float]) -> None:
    """Draw laws of exponent 1/2 and 1 through the middle of the law."""
    middle = len(batches) // 2
    for exponent, name, style in ((0.5, "1/2", "--"), (1.0, "1", "-.")):
        theory = [lrs[middle] * (batch / batches[middle]) ** exponent for batch in batches]
        axes.plot(batches, theory, style, color="0.6", linewidth=1, label=f"exponent {name}")
