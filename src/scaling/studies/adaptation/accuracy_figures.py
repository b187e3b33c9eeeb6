"""Accuracy, entropy and diversity of models that adapt, by batch size."""

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.figures.labels import legend
from scaling.figures.palette import colors_of as shades_of
from scaling.figures.panels import STYLE, WIDE, wrapped
from scaling.studies.adaptation.runs import arms, blocks
from scaling.studies.cluster_intervals import gains, over_clusters

GROWING = (0.8, 0.2, 0.4)  # color of batch sizes that grow, used for no fixed one
LEVELS = {  # column -> label, line style
    "best_accuracy": ("best possible", "-."),
    "statistics_query_accuracy": ("normalisation statistics only, query", ":"),
    "before_query_accuracy": ("source model, query", "--"),
}
HEIGHT = 2.6  # inches of a row of panels
LABEL = 30  # letters in a line of a label
SPLITS = {"query": ("query", "o"), "val": ("held-out", "s")}


def entropy_and_diversity(table: pd.DataFrame, lines: pd.DataFrame) -> Figure:
    """Entropy of the predictions on the query, H(pbar) / log K, and how their gradients agree.

    Args:
        table: as `scaling.studies.adaptation.runs.measures` gives them.
        lines: as `scaling.studies.adaptation.runs.passes` gives them.
    """
    names = {
        "query_entropy": "mean entropy of predictions (nats)",
        "query_diversity": "diversity H(pbar) / log K",
        "gradient_cosine": "cosine between the gradients of both terms",
    }

    def draw(block: pd.DataFrame, axes: Axes, key: str) -> None:
        _courses(block, lines, axes, key)
        axes.set_ylabel(names[key])

    return _beside(table, draw, tuple(key for key in names if key in lines), "batch")


def accuracy_over_passes(table: pd.DataFrame, lines: pd.DataFrame) -> Figure:
    """Accuracy on the query, on held-out windows and on the source, before, during and after.

    Args:
        table: as `scaling.studies.adaptation.runs.measures` gives them.
        lines: as `scaling.studies.adaptation.runs.passes` gives them.
    """
    names = {
        "query_accuracy": "on the query",
        "val_accuracy": "on held-out windows",
        "source_accuracy": "on the source",
    }

    def draw(block: pd.DataFrame, axes: Axes, key: str) -> None:
        _courses(block, lines, axes, key, factor=100.0)
        axes.set_ylabel(f"accuracy {names[key]} (%)")

    return _beside(table, draw, tuple(names), "batch")


def accuracy_by_batch(table: pd.DataFrame, lines: pd.DataFrame) -> Figure:
    """Accuracy after adaptation, and the gain over the source, by batch size.

    Args:
        table: as `scaling.studies.adaptation.runs.measures` gives them.
        lines: unused; every figure of this study takes them.
    """

    def draw(block: pd.DataFrame, axes: Axes, what: str) -> None:
        names = arms(block)
        colors = sns.color_palette("colorblind", len(SPLITS))
        for i, (split, (name, marker)) in enumerate(SPLITS.items()):
            at = np.arange(len(names)) + 0.3 * (i - 0.5)
            ends = _ends(block, split, gained=what == "gain")
            middle = ends[:, 0]
            reach = np.abs(ends[:, 1:] - middle[:, None]).T
            shown = np.nan_to_num(reach)  # without an interval, a point
            axes.errorbar(at, middle, yerr=shown, fmt=marker, markersize=4, capsize=2,
                          linewidth=1.2, color=colors[i], label=name)  # fmt: skip
        if what == "gain":
            axes.axhline(0, color="0.4", linewidth=0.8)
            axes.set_ylabel("accuracy gained over the source (points)")
        else:
            for key, (name, style) in LEVELS.items():
                if key in block and block[key].notna().any():
                    level = 100 * block[key].mean()
                    axes.axhline(level, color="0.35", linestyle=style, linewidth=1, label=name)
            axes.set_ylabel("accuracy after adaptation (%)")
        axes.set_xticks(range(len(names)), [name.replace(" to ", "\nto ") for name in names])
        axes.set_xlim(-0.6, len(names) - 0.4)  # centers a single batch
        axes.set_xlabel("batch")

    return _beside(table, draw, ("accuracy", "gain"))


def colors_of(block: pd.DataFrame) -> dict[str, Any]:
    """Each arm with its color: fixed batch sizes from dark to light, one color for growing ones."""
    names = arms(block)
    grow = set(block.loc[block["grows"], "arm"])
    fixed = [name for name in names if name not in grow]
    return shades_of(fixed) | dict.fromkeys(grow, GROWING)


def _ends(block: pd.DataFrame, split: str, *, gained: bool) -> np.ndarray:
    """Value and ends for each arm, in percent."""
    names, key = arms(block), f"{split}_accuracy"
    if gained:
        changes = gains(block, split)
        ends = [(changes[arm].difference, changes[arm].low, changes[arm].high) for arm in names]
    else:
        ends = []
        for arm in names:
            runs = block[block["arm"] == arm].set_index("unit")[key]
            one = over_clusters(block, runs, within=(0.0, 1.0))
            ends.append((float(runs.mean()), one.low, one.high))
    return 100 * np.array(ends)


def _courses(
    block: pd.DataFrame, lines: pd.DataFrame, axes: Axes, key: str, factor: float = 1.0
) -> None:
    """Draw the mean over units of each arm by pass; a stopped unit keeps its last value."""
    for arm, color in colors_of(block).items():
        runs = lines[lines["run"].isin(block.loc[block["arm"] == arm, "run"])]
        wide = runs.pivot_table(index="passes", columns="unit", values=key)
        ends = wide.notna()[::-1].idxmax()  # the last pass of each unit
        course = factor * wide.ffill().mean(axis=1)
        axes.plot(course.index, course, color=color, linewidth=1.3, label=arm)
        left = course[course.index.isin(ends[ends < wide.index[-1]])]
        axes.plot(left.index, left, "v", color=color, markersize=5, linestyle="")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel("passes over the query")


def _beside(
    table: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes, str], None],
    keys: tuple[str, ...],
    title: str = "",
) -> Figure:
    """Draw a row of panels for each setting, one per key, and one legend right of all.

    The panels of a key share their scale.
    """
    settings = list(blocks(table))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDE, HEIGHT * len(settings)), layout="constrained")
        firsts: dict[str, Axes] = {}
        for i, (name, block) in enumerate(settings):
            for j, key in enumerate(keys):
                place = (len(settings), len(keys), i * len(keys) + j + 1)
                axes = figure.add_subplot(*place, sharey=firsts.get(key))
                firsts.setdefault(key, axes)
                draw(block, axes, key)
                axes.set_ylabel(wrapped(axes.get_ylabel(), LABEL))
                if j == 0:
                    axes.set_title(wrapped(name, 90), loc="left", pad=6)
        handles = [one for axes in figure.axes for one in axes.get_legend_handles_labels()[0]]
        legend(figure, handles, title)
    return figure
