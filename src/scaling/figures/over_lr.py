"""Loss, gradient norm and update against the learning rate."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scaling.analysis import optima
from scaling.analysis.naive_optima import naive_optima
from scaling.contracts.metric import metric_of
from scaling.contracts.settings import by_setting
from scaling.figures.axes import log_values, lr_axis
from scaling.figures.labels import MANY, Label, right_labels
from scaling.figures.limits import Limits, bowl_limits, log_limits, means, references
from scaling.figures.marks import ROOM, diverged, draw_marks, entries, leaving, off_scale
from scaling.figures.palette import Color, Look, looks
from scaling.figures.panels import INNER, blank, panels, spread
from scaling.figures.strip import entry, is_open, strip, strip_height

FAR = 0.75  # a reference at most so many heights of the bowls beyond them is drawn to scale
DOWN, UP = " \N{DOWNWARDS ARROW}", " \N{UPWARDS ARROW}"


def loss_against_lr(rows: pd.DataFrame, flat: float | None = None) -> Figure:
    """Validation loss against learning rate, a line for each batch size, its best lr ringed.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    blocks = [block for _, block in by_setting(rows)]
    limits, styles, lrs = bowl_limits(blocks), looks(rows), _tried(rows)
    levels = [_shown(references(block), limits) for block in blocks]
    view = limits
    for level in (level for shown in levels for level in shown if _near(level, limits)):
        view = Limits(min(view.low, level), max(view.high, level))
    found = [list(optima.optimum(block, flat=flat)) for block in blocks]
    marks = [
        mark
        for block in blocks
        for mark in (*diverged(block), *off_scale(means(block)["mean"], view))
    ]
    located = [one for block in found for one in block]
    below = strip_height(len(styles)) if located else 0.0
    differ = len(set(map(str, levels))) > 1
    named = [differ or i % 2 == 1 or i == len(blocks) - 1 for i in range(len(blocks))]
    parts = iter(zip(levels, found, named, strict=True))

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        shown, intervals, is_named = next(parts)  # panels are drawn in this order
        lr_axis(axes, lrs)
        if view.known:
            axes.set_ylim(view.padded())
        else:
            axes.text(0.5, 0.5, "no run finished", ha="center", transform=axes.transAxes)
            axes.set_yticks([])
        axes.set_ylabel(metric_of(block).label)
        beside = _losses(block, axes, styles, view)
        beside += _references(shown, axes, named=is_named)
        right_labels(axes, beside, INNER)
        draw_marks(axes, [*diverged(block), *leaving(means(block)["mean"], view)], styles)
        if below:
            strip(axes, intervals, styles, lrs)

    ring = Line2D([], [], linestyle="", marker="o", markersize=9, fillstyle="none", color="0.25",
                  label="best tried")  # fmt: skip
    opens = [entry()] * any(is_open(one, lrs) for one in located)
    more = [*[ring] * view.known, *entries(marks), *opens]
    return panels(
        rows, draw, below=below, above=ROOM + 3 if marks else 6.0, entries=more,
        title="batch" * (len(styles) <= MANY),
    )  # fmt: skip


def gradient_norm(rows: pd.DataFrame) -> Figure:
    """Mean gradient norm before clipping against learning rate, a line for each batch size."""
    return _measure(rows, rows["grad_norm_pre_clip"], "mean gradient norm before clipping")


def update_size(rows: pd.DataFrame) -> Figure:
    """Mean norm of the update divided by lr, against lr, a line for each batch size."""
    return _measure(rows, rows["update_norm"] / rows["lr"], "mean norm of the update / lr")


def _tried(rows: pd.DataFrame) -> list[float]:
    used = rows.loc[rows["status"] != "corrupt", "lr"]
    return sorted({float(lr) for lr in used if lr > 0})


def _losses(
    block: pd.DataFrame, axes: Axes, styles: Mapping[float, Look], view: Limits
) -> list[Label]:
    """Draw a line for each batch size, and return labels of their ends if they are many."""
    best = {one.batch: one.argmin for one in naive_optima(block)}
    table, many = means(block), len(styles) > MANY
    ends: list[Label] = []
    table = table[np.isfinite(table["mean"])]
    for batch, (color, marker) in styles.items():
        if batch not in table.index:
            continue
        curve = table.loc[batch]
        curve = curve[curve["mean"] >= view.low]  # a line to -100 would cross the panel
        if curve.empty:
            continue
        several = bool((curve["min"] < curve["max"]).any())
        bars = [ends.where(curve["mean"] <= view.high, 0.0) for ends in spread(curve)]
        axes.errorbar(
            curve.index, curve["mean"], yerr=bars if several else None, color=color, marker=marker,
            markersize=3.5, linewidth=1.2, capsize=1.5, elinewidth=0.8,
            label=f"{'_' * many}{batch:g}",
        )  # fmt: skip
        if batch in best and best[batch] in curve.index:
            level = float(curve["mean"].loc[best[batch]])  # lowest where no run diverged
            axes.plot(best[batch], level, "o", markersize=9, fillstyle="none", color=color)
        if many:
            ends.append(_end(curve["mean"], batch, styles[batch].color, first=not ends))
    return ends


def _end(curve: pd.Series, batch: float, color: Color, *, first: bool) -> Label:
    """The label of the end of a line; the first one says what the numbers are."""
    text = f"{'batch ' * first}{batch:g}"
    return Label(float(curve.iloc[-1]), text, color, float(curve.index[-1]))


def _shown(levels: Mapping[str, float], limits: Limits) -> dict[float, str]:
    """The references to draw, with their names: those among the losses, and the best if lower.

    Without any of these, the nearest is drawn. A reference too far for the scale has an arrow after
    its name.
    """
    names: dict[float, list[str]] = {}
    for name, level in levels.items():
        names.setdefault(round(level, 4), []).append(name)
    low, high = limits.low, limits.high
    shown = {level for level in names if limits.holds(level)}
    shown |= {level for level in [min(names, default=high)] if level < low}
    if not limits.known:
        return {}
    if not shown and names:
        shown = {min(names, key=lambda level: max(low - level, level - high))}
    far = {level: DOWN if level < low else UP for level in shown if not _near(level, limits)}
    return {
        level: f"{', '.join(names[level])} {level:.3f}{far.get(level, '')}"
        for level in sorted(shown)
    }


def _near(level: float, limits: Limits) -> bool:
    """Whether a reference can be drawn to scale: bowls keep most of the height."""
    low, high = limits.padded()
    return low - FAR * (high - low) <= level <= high + FAR * (high - low)


def _references(levels: Mapping[float, str], axes: Axes, *, named: bool) -> list[Label]:
    """Draw losses that need no training as dashed lines, and return their labels."""
    for level in levels:
        axes.axhline(level, color="0.45", linestyle="--", linewidth=0.9, zorder=0.5)
    return [Label(level, text, "0.25") for level, text in levels.items()] if named else []


def _measure(rows: pd.DataFrame, values: pd.Series, label: str) -> Figure:
    """Means over seeds of a positive measure against lr, both on logarithmic axes."""
    measured = rows.assign(measure=values.where(values > 0))
    styles, lrs, many = looks(rows), _tried(rows), len(looks(rows)) > MANY
    tables = [means(block, "measure") for _, block in by_setting(measured)]
    limits = log_limits(value for table in tables for value in table["mean"])
    marks = [mark for table in tables for mark in off_scale(table["mean"], limits)]

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        table = means(block, "measure")
        ends: list[Label] = []
        if table.empty or not limits.known:
            blank(axes, "not measured")
            return
        lr_axis(axes, lrs)
        axes.set_yscale("log")
        log_values(axes.yaxis, *limits.log_padded())
        axes.set_ylabel(label)
        for batch, (color, marker) in styles.items():
            if batch in table.index:
                curve = table.loc[batch]["mean"]
                axes.plot(
                    curve.index, curve, marker=marker, color=color, markersize=3.5, linewidth=1.2,
                    label=f"{'_' * many}{batch:g}",
                )  # fmt: skip
                ends += [_end(curve, batch, color, first=not ends)] * many
        right_labels(axes, ends, INNER)
        draw_marks(axes, leaving(table["mean"], limits), styles)

    return panels(
        measured, draw, above=ROOM + 3 if marks else 6.0, entries=entries(marks),
        title="batch" * (not many),
    )  # fmt: skip
