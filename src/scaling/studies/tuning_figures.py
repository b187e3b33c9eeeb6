"""What a wrong learning rate costs and what a larger batch saves, as figures."""

import textwrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from scaling.analysis import critical_batch, steps_to_loss
from scaling.analysis.lr_sensitivity import Sensitivity, sensitivity
from scaling.contracts.metric import metric_of
from scaling.figures.panels import blank, panels

FACTORS = (3.0, 10.0)
WHOLE = 0.99  # share of a range that counts as the whole range


def lr_sensitivity(rows: pd.DataFrame) -> Figure:
    """Loss lost when lr is off by up to a factor, against batch size, a line for each factor."""
    return panels(rows, _sensitivity_panel)


def steps_and_examples(rows: pd.DataFrame, losses: pd.DataFrame) -> Figure:
    """Steps to the lowest loss that every batch size reaches in half a run, against batch size.

    Args:
        rows: as `scaling.results.read` gives them.
        losses: of these runs, as `scaling.results.steps` gives them.
    """

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        try:
            reached = steps_to_loss.arrivals(block, losses)
            _course_panel(reached, critical_batch.tradeoff(reached.points), axes)
        except ValueError as error:
            blank(axes, str(error))

    measured = rows["run"].isin(losses["run"].unique() if len(losses) else [])
    return panels(rows[measured], draw)


def _sensitivity_panel(block: pd.DataFrame, axes: Axes) -> None:
    try:
        costs = [one for one in sensitivity(block, factors=FACTORS) if np.isfinite(one.lost)]
    except ValueError as error:
        blank(axes, str(error))
        return
    if not costs:
        blank(axes, "no batch size has several lr with one that learns")
        return
    colors = sns.color_palette("colorblind", len(FACTORS))
    for i, factor in enumerate(FACTORS):
        line = [one for one in costs if one.factor == factor]
        x = np.array([one.batch for one in line]) * 1.06 ** (i - (len(FACTORS) - 1) / 2)
        y = np.array([one.lost for one in line])
        reach = np.nan_to_num([one.high - one.lost for one in line])
        axes.plot(x, y, color=colors[i], linewidth=1.2, alpha=0.6)
        axes.errorbar(x, y, yerr=reach, fmt="none", color=colors[i], capsize=3, linewidth=1.2)
        for at, one in zip(x, line, strict=True):
            axes.plot(
                at, one.lost, "os"[i], color=colors[i], markersize=6,
                markerfacecolor="white" if one.covered < WHOLE else colors[i],
            )  # fmt: skip
        axes.plot([], [], f"{'os'[i]}-", color=colors[i], label=f"{factor:g}")
    axes.axhline(0, color="0.5", linewidth=0.8)
    _batch_axis(sorted({one.batch for one in costs}), axes)
    axes.set_ylabel(f"mean loss lost ({metric_of(block).scale})")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    axes.legend(title=_legend(costs), loc="upper left", ncols=2, framealpha=0.8)


def _legend(costs: list[Sensitivity]) -> str:
    cut = any(one.covered < WHOLE for one in costs)
    return "lr off by up to" + (" (open: partly tried)" if cut else "")


def _course_panel(
    reached: steps_to_loss.Arrivals, tradeoff: critical_batch.Tradeoff, axes: Axes
) -> None:
    if not tradeoff.optima:
        blank(axes, "no batch size reaches the target on all seeds")
        return
    points = reached.points
    for batch, lr, steps in tradeoff.optima:
        seeds = points.loc[(points["batch"] == batch) & (points["lr"] == lr), "steps"]
        axes.plot([batch] * len(seeds), seeds.clip(lower=1), ".", color="0.6", markersize=5)
        marker = "v" if batch in tradeoff.bounded else "o"
        axes.plot(batch, steps, marker, color="black", markersize=6, zorder=3)
    batches = np.array([batch for batch, _, _ in tradeoff.optima], float)
    fine = np.geomspace(batches[0] / 1.3, batches[-1] * 1.3, 100)
    first = tradeoff.optima[0][2]
    axes.plot(
        fine, first * batches[0] / fine, "--", color="0.6", linewidth=1, label="same examples"
    )
    if tradeoff.identified:
        least, fewest = tradeoff.steps_min, tradeoff.examples_min
        critical = tradeoff.critical_batch
        curve = least.value * (1 + critical.value / fine)
        text = f"critical batch {critical.value:.2g} ({critical.low:.2g} to {critical.high:.2g})"
        axes.plot(fine, curve, color="C0", linewidth=1.5, label=text)
        axes.plot(fine, np.full_like(fine, least.value), ":", color="C0", linewidth=1)
        axes.plot(fine, fewest.value / fine, ":", color="C0", linewidth=1)
        for place, text, side in (
            ((fine[0], least.value), f"at least {least.value:.3g} steps", "left"),
            ((fine[-1], fewest.value / fine[-1]), f"at least {fewest.value:.3g} examples", "right"),
        ):
            axes.annotate(text, place, ha=side, va="top", fontsize=8, color="C0")
        axes.axvspan(critical.low, critical.high, color="C0", alpha=0.12, linewidth=0)
    else:
        _note(f"no critical batch: {tradeoff.reason}", axes)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    _batch_axis([int(batch) for batch in batches], axes)
    kind = "validation" if reached.loss == "val_loss" else "training"
    axes.set_ylabel(f"steps to a {kind} loss of {reached.target:.3g} nats")
    axes.legend(loc="upper right", framealpha=0.8)


def _batch_axis(batches: list[int], axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(batches[0] / 1.5, batches[-1] * 1.5)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.set_xlabel("batch (examples per step)")


def _note(text: str, axes: Axes) -> None:
    """Write a note at the bottom of the axes."""
    wrapped = "\n".join(textwrap.wrap(text, 44))
    axes.text(0.02, 0.02, wrapped, va="bottom", fontsize=8, color="0.3", transform=axes.transAxes)
