"""Tables of rows as figures; no file names and no show()."""

import textwrap
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling import optima, powerlaws, results

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

    Points are means over seeds, upright bars the range over them. Bars along the bottom hold the
    optimum of each batch size with 95 % confidence; an arrow points to where it may lie beyond the
    grid. Dashed lines are the losses that need no learning. Runs that diverged are crosses on top.
    """
    return _panels(rows, _loss_panel)


def clip_frequency(rows: pd.DataFrame) -> Figure:
    """Share of steps that were clipped, over batch and learning rate, in percent."""
    return _panels(rows, _clip_panel)


def optimal_lr(rows: pd.DataFrame) -> Figure:
    """Best learning rate against batch size: the optimum of each, and the law fitted to all losses.

    Points are optima with 95 % intervals; triangles are censored, their optimum may lie beyond the
    end of the grid (dotted) that they point to; open circles mark the lowest mean loss where there
    is no optimum to speak of. The band is the 95 % interval of the law; grey lines are laws of
    exponent 1/2 and 1 through its middle.
    """
    return _panels(rows, _optimum_panel)


def loss_heatmap(rows: pd.DataFrame) -> Figure:
    """Validation loss over batch and learning rate, mean over seeds, in nats."""
    return _panels(rows, _loss_map_panel)


def gradient_norm(rows: pd.DataFrame) -> Figure:
    """Mean gradient norm before clipping against learning rate, a line for each batch size."""
    return _panels(rows, _against_lr("grad_norm_pre_clip", "mean gradient norm before clipping"))


def update_size(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update against learning rate, a line for each batch size.

    The grey line is proportional to lr: an optimizer whose step does not depend on the gradient's
    size is parallel to it.
    """
    return _panels(rows, _against_lr("update_norm", "mean norm of the update"))


def best_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of each setting and batch size at the lr of the lowest mean loss."""
    done = rows[rows["status"] == "done"]
    found = []
    for _, block in results.settings(done):
        for _, runs in block.groupby("batch"):
            means = runs.groupby("lr")["val_loss"].mean().dropna()
            if len(means):
                found.append(runs[runs["lr"] == means.index.to_numpy(float)[means.argmin()]])
    return pd.concat(found) if found else done


def norm_curves(rows: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Gradient norm before clipping over the steps, at the best lr of each batch size.

    Medians over 20 steps and over seeds; dotted lines are the ceilings.

    Args:
        rows: as `scaling.results.read` gives them.
        steps: of `best_runs(rows)`, as `scaling.results.steps` gives them.
    """

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        best = best_runs(block)
        for batch, color in _colors(best):
            own = steps[steps["run"].isin(best.loc[best["batch"] == batch, "run"])]
            window = own["step"] // 20 * 20 + 10
            norms = own.groupby(window)["grad_norm_pre_clip"].median()
            lr = best.loc[best["batch"] == batch, "lr"].iloc[0]
            axes.plot(norms, color=color, linewidth=1.2, label=f"{batch:g} (lr {lr:g})")
        for clip in block["clip"].unique():
            if np.isfinite(clip):
                axes.axhline(clip, color="0.4", linestyle=":", linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm before clipping")
        axes.legend(title="batch", framealpha=0.8)

    return _panels(rows[rows["status"] == "done"], draw)


ALL: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "loss_against_lr": loss_against_lr,
    "optimal_lr": optimal_lr,
    "loss_heatmap": loss_heatmap,
    "clip_frequency": clip_frequency,
    "gradient_norm": gradient_norm,
    "update_size": update_size,
}


def _panels(rows: pd.DataFrame, draw: Callable[[pd.DataFrame, Axes], None]) -> Figure:
    """One panel for each setting other than batch, lr and seed, at most two in a row."""
    blocks = list(results.settings(rows))
    across = min(2, max(1, len(blocks)))
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
    for batch, color in _colors(block):
        losses = done[done["batch"] == batch].groupby("lr")["val_loss"].agg(["mean", "min", "max"])
        if losses.empty:
            continue
        spread = [losses["mean"] - losses["min"], losses["max"] - losses["mean"]]
        axes.errorbar(
            losses.index, losses["mean"], yerr=spread, color=color, marker="o", markersize=4,
            linewidth=1.5, capsize=2, label=f"{batch:g}",
        )  # fmt: skip
        best = losses.nsmallest(1, "mean")
        axes.plot(best.index, best["mean"], "o", markersize=10, fillstyle="none", color=color)
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
    colors, ends, across = dict(_colors(block)), axes.get_xlim(), axes.get_xaxis_transform()
    for i, found in enumerate(known):
        color, y = colors[found.batch], 0.03 * (len(known) - i)
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
    for name in results.REFERENCES:
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
        axes.text(0.5, 0.5, "no lr to choose from", ha="center", transform=axes.transAxes)
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
        batches, lrs, lows, highs = zip(*law.optima, strict=True)
        axes.plot(batches, lrs, color="C0", label=f"exponent {law.exponent:.2f}")
        axes.fill_between(batches, lows, highs, color="C0", alpha=0.2, linewidth=0)
        middle = len(batches) // 2
        for exponent, style in {0.5: "--", 1.0: "-."}.items():
            theory = [lrs[middle] * (batch / batches[middle]) ** exponent for batch in batches]
            axes.plot(batches, theory, style, color="0.6", linewidth=1, label=f"{exponent:g}")
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


def _loss_map_panel(block: pd.DataFrame, axes: Axes) -> None:
    done = block[block["status"] == "done"]
    _map_panel(done, axes, "val_loss", "validation loss (nats)", ".3f", "cividis_r")


def _against_lr(column: str, label: str) -> Callable[[pd.DataFrame, Axes], None]:
    """A panel of means over seeds against lr, both on log axes."""

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        done = block[block["status"] == "done"]
        done = done[done[column].notna()]
        if done.empty:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
            return
        for batch, color in _colors(done):
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


def _colors(block: pd.DataFrame) -> list[tuple[float, tuple[float, float, float]]]:
    """Each batch size with its color."""
    batches = sorted({float(batch) for batch in block["batch"]})
    colors = sns.color_palette("viridis", len(batches) + 1)[:-1]  # the last one is too light
    return list(zip(batches, colors, strict=True))


def _clip_panel(block: pd.DataFrame, axes: Axes) -> None:
    _map_panel(block, axes, "clip_percent", "steps clipped (%)", ".0f", "cividis", (0.0, 100.0))


def _map_panel(
    block: pd.DataFrame,
    axes: Axes,
    column: str,
    label: str,
    form: str,
    colors: str,
    limits: tuple[float, float] | tuple[None, None] = (None, None),
) -> None:
    """A map over batch and learning rate, of means over seeds."""
    means = block.pivot_table(index="batch", columns="lr", values=column, aggfunc="mean")
    if means.empty:
        axes.text(0.5, 0.5, "no finished run", ha="center", transform=axes.transAxes)
        return
    means.index = [f"{batch:g}" for batch in means.index]
    means.columns = [f"{lr:g}" for lr in means.columns]
    sns.heatmap(
        means, ax=axes, vmin=limits[0], vmax=limits[1], cmap=colors, linewidths=0.5,
        annot=True, fmt=form, annot_kws={"fontsize": 8}, cbar_kws={"label": label},
    )  # fmt: skip
    axes.set_xlabel("learning rate")
    axes.set_ylabel("batch (examples per step)")
    axes.tick_params(axis="y", rotation=0)
