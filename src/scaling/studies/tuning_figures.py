"""Figures of the cost of a wrong learning rate and of the gain from a larger batch."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scaling.analysis import critical_batch, steps_to_loss
from scaling.analysis.lr_sensitivity import Sensitivity, sensitivity
from scaling.contracts.metric import metric_of
from scaling.contracts.settings import by_setting
from scaling.figures.axes import batch_axis, log_values
from scaling.figures.labels import BESIDE
from scaling.figures.limits import Limits, fenced_limits
from scaling.figures.marks import ROOM, Mark, draw_marks, entries, off_scale
from scaling.figures.palette import Look
from scaling.figures.panels import blank, note, panels

FACTORS = (3.0, 10.0)
FACTOR_LOOKS = {
    factor: Look(color, marker)
    for factor, color, marker in zip(FACTORS, sns.color_palette("colorblind"), "os", strict=False)
}
WHOLE = 0.99  # share of a range that counts as the whole range


def lr_sensitivity(rows: pd.DataFrame) -> Figure:
    """Loss lost when lr is off by up to a factor, against batch size, a line for each factor."""
    batches = rows.loc[rows["status"] != "corrupt", "batch"].unique()

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        costs = _costs(block)
        if isinstance(costs, str):
            blank(axes, costs)
            return
        _sensitivity_panel(costs, axes, limits, metric_of(block).scale)
        batch_axis(axes, batches)
        axes.set_ylim(limits.padded())
        draw_marks(axes, _beyond(costs, limits), FACTOR_LOOKS)

    every = [costs for _, block in by_setting(rows) if not isinstance(costs := _costs(block), str)]
    pooled = [one for costs in every for one in costs]
    limits = _limits(pooled)
    marks = [mark for costs in every for mark in _beyond(costs, limits)]
    return panels(
        rows, draw, title="lr off by up to", entries=[*_partly(pooled), *entries(marks)],
        above=ROOM + 3 if marks else 6.0,
    )  # fmt: skip


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
    return panels(rows[measured], draw, shared=False)  # targets differ


def _costs(block: pd.DataFrame) -> list[Sensitivity] | str:
    """The finite costs of a setting, or why they are not known."""
    try:
        costs = [one for one in sensitivity(block, factors=FACTORS) if np.isfinite(one.lost)]
    except ValueError as error:
        return str(error)
    return costs or "no batch size has several lr with one that learns"


def _limits(costs: list[Sensitivity]) -> Limits:
    """Limits that hold 0, and the costs and ends of intervals that are not far from the others."""
    parts = [
        fenced_limits(value(one) for one in costs if one.factor == factor)
        for factor in FACTORS
        for value in (
            lambda one: one.lost,
            lambda one: one.high,
            lambda one: 2 * one.lost - one.high,
        )
    ]
    ends = [end for part in parts if part.known for end in (part.low, part.high)]
    return Limits(min([0.0, *ends]), max([0.0, *ends]))


def _beyond(costs: list[Sensitivity], limits: Limits) -> list[Mark]:
    lost = {(one.factor, float(one.batch)): one.lost for one in costs}
    return off_scale(pd.Series(lost, dtype=float), limits)


def _sensitivity_panel(costs: list[Sensitivity], axes: Axes, limits: Limits, scale: str) -> None:
    colors = sns.color_palette("colorblind", len(FACTORS))
    for i, factor in enumerate(FACTORS):
        line = [one for one in costs if one.factor == factor]
        x = np.array([one.batch for one in line]) * 1.06 ** (i - (len(FACTORS) - 1) / 2)
        y = np.array([one.lost if limits.holds(one.lost) else np.nan for one in line])
        reach = np.nan_to_num([one.high - one.lost for one in line])
        axes.plot(x, y, color=colors[i], linewidth=1.2, alpha=0.6)
        axes.errorbar(x, y, yerr=reach, fmt="none", color=colors[i], capsize=3, linewidth=1.2)
        for at, one in zip(x, line, strict=True):
            axes.plot(
                at, one.lost, "os"[i], color=colors[i], markersize=5,
                markerfacecolor="white" if one.covered < WHOLE else colors[i],
            )  # fmt: skip
        bar = axes.errorbar([], [], yerr=[], fmt=f"{'os'[i]}-", color=colors[i], capsize=3,
                            label=f"factor {factor:g}")  # fmt: skip
        bar.set_label(f"factor {factor:g}")
    axes.axhline(0, color="0.5", linewidth=0.8, zorder=0.5)
    axes.set_ylabel("mean loss lost" + f" ({scale})" * bool(scale))


def _partly(costs: list[Sensitivity]) -> list[Line2D]:
    """The legend entry of open symbols, if there are any."""
    if not any(one.covered < WHOLE for one in costs):
        return []
    return [Line2D([], [], linestyle="", marker="o", color="0.25", markerfacecolor="white",
                   markersize=5, label="open: partly tried")]  # fmt: skip


def _course_panel(
    reached: steps_to_loss.Arrivals, tradeoff: critical_batch.Tradeoff, axes: Axes
) -> None:
    if not tradeoff.optima:
        blank(axes, "no batch size reaches the target on all seeds")
        return
    points, counts = reached.points, [steps for _, _, steps in tradeoff.optima]
    for batch, lr, steps in tradeoff.optima:
        chosen = points[(points["batch"] == batch) & (points["lr"] == lr)]
        seeds = chosen["steps"].clip(lower=1)
        counts += list(seeds)
        axes.plot([batch] * len(seeds), seeds, ".", color="0.6", markersize=5)
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
        text = f"critical batch\n{critical.value:.2g} ({critical.low:.2g} to {critical.high:.2g})"
        counts.append(least.value)
        axes.plot(fine, curve, color="C0", linewidth=1.5, label=text)
        limits = f"at least\n{least.value:.3g} steps,\n{fewest.value:.3g} examples"
        axes.plot(fine, np.full_like(fine, least.value), ":", color="C0", linewidth=1, label=limits)
        axes.plot(fine, fewest.value / fine, ":", color="C0", linewidth=1)
        axes.axvspan(critical.low, critical.high, color="C0", alpha=0.12, linewidth=0)
    else:
        note(axes, f"no critical batch: {tradeoff.reason}")
    axes.set_yscale("log")
    log_values(axes.yaxis, min(counts) / 1.5, max(counts) * 1.5)
    batch_axis(axes, batches)
    kind = "validation" if reached.loss == "val_loss" else "training"
    axes.set_ylabel(f"steps to a {kind} loss\nof {reached.target:.3g} nats")
    axes.legend(**BESIDE)
