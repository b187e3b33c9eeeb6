"""Loss, gradient norm and update against the learning rate."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis import optima
from scaling.analysis.naive_optima import naive_optima
from scaling.contracts.columns import REFERENCES
from scaling.contracts.metric import metric_of
from scaling.figures.panels import blank, colors, panels, spread


def loss_against_lr(rows: pd.DataFrame, flat: float | None = None) -> Figure:
    """Validation loss against learning rate, a line for each batch size, its best lr ringed.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    return panels(rows, partial(_loss_panel, flat=flat))


def gradient_norm(rows: pd.DataFrame) -> Figure:
    """Mean gradient norm before clipping against learning rate, a line for each batch size."""
    return panels(rows, _against_lr("grad_norm_pre_clip", "mean gradient norm before clipping"))


def update_size(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update against learning rate, a line for each batch size."""
    return panels(rows, _against_lr("update_norm", "mean norm of the update"))


def _loss_panel(block: pd.DataFrame, axes: Axes, flat: float | None) -> None:
    done = block[block["status"] == "done"]
    best = {one.batch: one.argmin for one in naive_optima(block)}
    for batch, color in colors(block):
        losses = done[done["batch"] == batch].groupby("lr")["val_loss"].agg(["mean", "min", "max"])
        if losses.empty:
            continue
        axes.errorbar(
            losses.index, losses["mean"], yerr=spread(losses), color=color, marker="o",
            markersize=4, linewidth=1.5, capsize=2, label=f"{batch:g}",
        )  # fmt: skip
        if batch in best:  # the lowest mean among lrs at which no run diverged
            level = float(losses["mean"].loc[best[batch]])
            axes.plot(best[batch], level, "o", markersize=10, fillstyle="none", color=color)
    diverged = block[block["status"] == "diverged"]
    if len(diverged):
        axes.plot(
            diverged["lr"], [0.97] * len(diverged), "x", color="black",
            transform=axes.get_xaxis_transform(), label="diverged",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(metric_of(block).label)
    axes.set_xlim(block["lr"].min() / 1.5, block["lr"].max() * 1.5)
    _references(block, axes)
    _optimum_bars(optima.optimum(block, flat=flat), block, axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title="batch (ring: best)", ncols=2, loc="best", framealpha=0.8)


def _optimum_bars(found: Iterable[optima.Optimum], block: pd.DataFrame, axes: Axes) -> None:
    """Draw the interval of each batch size's optimum, stacked along the bottom."""
    located = [optimum for optimum in found if not np.isnan(optimum.lr)]
    bottom, top = axes.get_ylim()
    room = 0.03 * (len(located) + 1) if located else 0.0
    axes.set_ylim(bottom - (top - bottom) * room / (1 - room), top)
    shades, ends, across = dict(colors(block)), axes.get_xlim(), axes.get_xaxis_transform()
    for i, optimum in enumerate(located):
        color, y = shades[optimum.batch], 0.03 * (len(located) - i)
        shown = np.clip([optimum.low, optimum.high], *ends)
        axes.plot(shown, [y, y], color=color, linewidth=2, transform=across)
        if optimum.status == "interior":
            axes.plot(optimum.lr, y, "|", color=color, markersize=7, transform=across)
        else:
            low = optimum.status == "low_edge"
            axes.plot(
                ends[0] * 1.06 if low else ends[1] / 1.06, y, "<" if low else ">", color=color,
                markersize=6, transform=across,
            )  # fmt: skip


def _references(block: pd.DataFrame, axes: Axes) -> None:
    """Draw reference losses that need no training: those in view, else the nearest one."""
    names: dict[float, list[str]] = {}
    for name in REFERENCES:
        levels = (
            block[f"{name}_loss"].dropna() if f"{name}_loss" in block else pd.Series(dtype=float)
        )
        if levels.nunique() == 1:
            names.setdefault(round(float(levels.iloc[0]), 4), []).append(name)
    low, high = axes.get_ylim()
    seen = [level for level in names if low <= level <= high]
    if not seen:
        seen = sorted(names, key=lambda level: max(low - level, level - high))[:1]
    for level in seen:
        axes.axhline(level, color="0.4", linestyle="--", linewidth=1)
        axes.annotate(
            f"{', '.join(names[level])} {level:.3f}", (0.01, level),
            xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8, color="0.3",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )  # fmt: skip


def _against_lr(column: str, label: str) -> Callable[[pd.DataFrame, Axes], None]:
    """A panel of means over seeds against lr, both on log axes."""

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        done = block[block["status"] == "done"]
        done = done[done[column].notna()]
        if done.empty:
            blank(axes, "not measured")
            return
        for batch, color in colors(done):
            means = done[done["batch"] == batch].groupby("lr")[column].mean()
            axes.plot(means.index, means, "o-", color=color, markersize=4, label=f"{batch:g}")
        if column == "update_norm":
            lrs = np.unique(done["lr"].to_numpy(float))
            start = done.loc[done["lr"] == lrs[0], column].mean()
            axes.plot(lrs, lrs / lrs[0] * start, "--", color="0.6", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel(label)
        axes.legend(title="batch", ncols=2, framealpha=0.8)

    return draw
