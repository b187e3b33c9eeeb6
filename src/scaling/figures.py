"""Tables of rows as figures; no file names and no show()."""

from collections.abc import Callable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling import results

STYLE = {
    **sns.axes_style("ticks"),
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, HEIGHT = 5.0, 3.6  # inches, of one panel


def loss_against_lr(rows: pd.DataFrame) -> Figure:
    """Validation loss against learning rate, a line for each batch size, its best lr ringed.

    Points are means over seeds, bars the range over them. Dashed lines are the losses that need no
    learning. Runs that diverged have no loss and stand as crosses at the top.
    """
    return _panels(rows, _loss_panel)


def clip_frequency(rows: pd.DataFrame) -> Figure:
    """Share of steps that were clipped, over batch and learning rate, in percent."""
    return _panels(rows, _clip_panel)


ALL: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "loss_against_lr": loss_against_lr,
    "clip_frequency": clip_frequency,
}


def _panels(rows: pd.DataFrame, draw: Callable[[pd.DataFrame, Axes], None]) -> Figure:
    """One panel for each setting other than batch, lr and seed, at most three in a row."""
    blocks = list(results.settings(rows))
    across = min(3, max(1, len(blocks)))
    down = -(-len(blocks) // across) or 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH * across, HEIGHT * down), layout="constrained")
        for i, (title, block) in enumerate(blocks):
            axes = figure.add_subplot(down, across, i + 1)
            draw(block, axes)
            axes.set_title(title, loc="left", pad=6)
    return figure


def _loss_panel(block: pd.DataFrame, axes: Axes) -> None:
    done = block[block["status"] == "done"]
    batches = sorted(block["batch"].unique())
    colors = sns.color_palette("viridis", len(batches) + 1)[:-1]  # the last one is too light
    for batch, color in zip(batches, colors, strict=True):
        losses = done[done["batch"] == batch].groupby("lr")["val_loss"].agg(["mean", "min", "max"])
        if losses.empty:
            continue
        spread = [losses["mean"] - losses["min"], losses["max"] - losses["mean"]]
        axes.errorbar(
            losses.index, losses["mean"], yerr=spread, color=color, marker="o", markersize=4,
            linewidth=1.5, capsize=2, label=f"{batch:g}",
        )  # fmt: skip
        best = losses["mean"].idxmin()
        axes.plot(best, losses["mean"][best], "o", markersize=10, fillstyle="none", color=color)
    diverged = block[block["status"] == "diverged"]
    if len(diverged):
        axes.plot(
            diverged["lr"], [0.97] * len(diverged), "x", color="black",
            transform=axes.get_xaxis_transform(), label="diverged",
        )  # fmt: skip
    _references(block, axes)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation loss (nats)")
    axes.set_xlim(block["lr"].min() / 1.5, block["lr"].max() * 1.5)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title="batch (ring: best)", ncols=2, loc="best", framealpha=0.8)


def _references(block: pd.DataFrame, axes: Axes) -> None:
    """Lines at the losses that need no learning: those in sight, or else the nearest one."""
    names: dict[float, list[str]] = {}
    for name in results.REFERENCES:
        levels = block[f"{name}_loss"].dropna().unique() if f"{name}_loss" in block else []
        if len(levels) == 1:
            names.setdefault(round(float(levels[0]), 4), []).append(name)
    low, high = axes.get_ylim()
    seen = [level for level in names if low <= level <= high]
    if not seen:
        seen = sorted(names, key=lambda level: max(low - level, level - high))[:1]
    for level in seen:
        axes.axhline(level, color="0.4", linestyle="--", linewidth=1)
        axes.annotate(
            f"{', '.join(names[level])} {level:.3f}", (0.01, level),
            xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8, color="0.3",
        )  # fmt: skip


def _clip_panel(block: pd.DataFrame, axes: Axes) -> None:
    shares = block.pivot_table(index="batch", columns="lr", values="clip_percent", aggfunc="mean")
    if shares.empty:
        axes.text(0.5, 0.5, "no finished run", ha="center", transform=axes.transAxes)
        return
    shares.index = [f"{batch:g}" for batch in shares.index]
    shares.columns = [f"{lr:g}" for lr in shares.columns]
    sns.heatmap(
        shares, ax=axes, vmin=0, vmax=100, cmap="cividis", annot=True, fmt=".0f", linewidths=0.5,
        annot_kws={"fontsize": 8}, cbar_kws={"label": "steps clipped (%)"},
    )  # fmt: skip
    axes.set_xlabel("learning rate")
    axes.set_ylabel("batch (examples per step)")
    axes.tick_params(axis="y", rotation=0)
