"""Loss, optimum, gradient norm and update against the learning rate."""

import textwrap
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis import optima, powerlaws
from scaling.contracts.columns import REFERENCES
from scaling.figures.panels import blank, colors, panels, spread


def loss_against_lr(rows: pd.DataFrame) -> Figure:
    """Validation loss against learning rate, a line for each batch size, its best lr ringed.

    Points are means over seeds, upright bars the range over them. Bars along the bottom hold the
    optimum of each batch size with 95 % confidence; an arrow points to where it may lie beyond the
    grid. Dashed lines are the losses that need no learning. Runs that diverged are crosses on top.
    """
    return panels(rows, _loss_panel)


def optimal_lr(rows: pd.DataFrame) -> Figure:
    """Best learning rate against batch size: the optimum of each, and the law fitted to all losses.

    Points are optima with 95 % intervals; triangles are censored, their optimum may lie beyond the
    end of the grid (dotted) that they point to; open circles mark the lowest mean loss where there
    is no optimum to speak of. The band is the 95 % interval of the law, and is missing where minima
    were found one by one; grey lines are laws of exponent 1/2 and 1 through its middle.
    """
    return panels(rows, _optimum_panel)


def gradient_norm(rows: pd.DataFrame) -> Figure:
    """Mean gradient norm before clipping against learning rate, a line for each batch size."""
    return panels(rows, _against_lr("grad_norm_pre_clip", "mean gradient norm before clipping"))


def update_size(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update against learning rate, a line for each batch size.

    The grey line is proportional to lr: an optimizer whose step does not depend on the gradient's
    size is parallel to it.
    """
    return panels(rows, _against_lr("update_norm", "mean norm of the update"))


def _loss_panel(block: pd.DataFrame, axes: Axes) -> None:
    done = block[block["status"] == "done"]
    best = {vertex.batch: vertex.argmin for vertex in optima.vertices(block)}
    for batch, color in colors(block):
        losses = done[done["batch"] == batch].groupby("lr")["val_loss"].agg(["mean", "min", "max"])
        if losses.empty:
            continue
        axes.errorbar(
            losses.index, losses["mean"], yerr=spread(losses), color=color, marker="o",
            markersize=4, linewidth=1.5, capsize=2, label=f"{batch:g}",
        )  # fmt: skip
        if batch in best:  # the lowest mean of those where no run diverged
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
    axes.set_ylabel("validation loss (nats)")
    axes.set_xlim(block["lr"].min() / 1.5, block["lr"].max() * 1.5)
    _references(block, axes)
    _optimum_bars(block, axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title="batch (ring: best)", ncols=2, loc="best", framealpha=0.8)


def _optimum_bars(block: pd.DataFrame, axes: Axes) -> None:
    """The interval of each batch size's optimum, stacked along the bottom."""
    known = [found for found in optima.optimum(block) if not np.isnan(found.lr)]
    bottom, top = axes.get_ylim()
    room = 0.03 * (len(known) + 1) if known else 0.0
    axes.set_ylim(bottom - (top - bottom) * room / (1 - room), top)
    shades, ends, across = dict(colors(block)), axes.get_xlim(), axes.get_xaxis_transform()
    for i, found in enumerate(known):
        color, y = shades[found.batch], 0.03 * (len(known) - i)
        shown = np.clip([found.low, found.high], *ends)
        axes.plot(shown, [y, y], color=color, linewidth=2, transform=across)
        if found.status == "interior":
            axes.plot(found.lr, y, "|", color=color, markersize=7, transform=across)
        else:
            low = found.status == "low_edge"
            axes.plot(
                ends[0] * 1.06 if low else ends[1] / 1.06, y, "<" if low else ">", color=color,
                markersize=6, transform=across,
            )  # fmt: skip


def _references(block: pd.DataFrame, axes: Axes) -> None:
    """Lines at the losses that need no learning: those in sight, or else the nearest one."""
    names: dict[float, list[str]] = {}
    for name in REFERENCES:
        known = (
            block[f"{name}_loss"].dropna() if f"{name}_loss" in block else pd.Series(dtype=float)
        )
        if known.nunique() == 1:
            names.setdefault(round(float(known.iloc[0]), 4), []).append(name)
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


def _optimum_panel(block: pd.DataFrame, axes: Axes) -> None:
    done = block[block["status"] == "done"]
    if done["lr"].nunique() < 2:
        blank(axes, "no lr to choose from")
        return
    low, high = float(block["lr"].min()), float(block["lr"].max())
    best = {vertex.batch: vertex.argmin for vertex in optima.vertices(block)}
    for found in optima.optimum(block):
        if np.isnan(found.lr):
            if found.batch in best:
                axes.plot(found.batch, best[found.batch], "o", color="0.5", fillstyle="none")
            continue
        marker = {"low_edge": "v", "high_edge": "^"}.get(found.status, "o")
        ends = np.clip([found.low, found.high], low / 3, high * 6)
        axes.plot([found.batch] * 2, ends, color="0.3", linewidth=1)
        axes.plot(found.batch, found.lr, marker, color="black", markersize=6)
    for edge in (low, high):
        axes.axhline(edge, color="0.5", linestyle=":", linewidth=1)
    law = powerlaws.learning_rate_law(block)
    if law.identified:
        batches, _, lows, highs = zip(*law.optima, strict=True)
        lrs = [law.constant * batch**law.exponent for batch in batches]
        axes.plot(batches, lrs, color="C0", label=f"exponent {law.exponent:.2f}")
        axes.fill_between(batches, lows, highs, color="C0", alpha=0.2, linewidth=0)
        middle = len(batches) // 2
        for exponent, name, style in ((0.5, "1/2", "--"), (1.0, "1", "-.")):
            theory = [lrs[middle] * (batch / batches[middle]) ** exponent for batch in batches]
            axes.plot(batches, theory, style, color="0.6", linewidth=1, label=f"exponent {name}")
        axes.legend(title=f"95 %: {law.low:.2f} to {law.high:.2f}", framealpha=0.8)
    else:
        said = "\n".join(textwrap.wrap(f"no exponent: {law.reason}", 44))
        axes.text(0.02, 0.98, said, va="top", fontsize=8, color="0.3", transform=axes.transAxes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(low / 3, high * 6)
    axes.set_xticks(sorted(best), [f"{batch:g}" for batch in sorted(best)])
    axes.minorticks_off()
    axes.set_xlabel("batch (examples per step)")
    axes.set_ylabel("best learning rate")


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
