"""Gradients layer by layer over the epochs of a run, and accuracies over label noise."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scaling.analysis.at_best import at_best
from scaling.contracts.settings import by_setting
from scaling.figures.axes import log_values, tried_axis
from scaling.figures.labels import Label, right_labels
from scaling.figures.limits import Limits, log_limits
from scaling.figures.maps import color_bar, heatmap
from scaling.figures.palette import colors_of
from scaling.figures.panels import INNER, blank, panels, spread

NOISE = "data.label_noise"
MAP = "cividis"
SCORES = {  # column -> label, marker
    "train_accuracy": ("training labels as given", "D"),
    "train_accuracy_clean": ("correct training labels", "o"),
    "test_accuracy": ("test", "s"),
    "train_accuracy_corrupted": ("wrong labels, as given", "^"),
    "train_accuracy_true": ("wrong labels, true class", "v"),
}


def layer_norms(rows: pd.DataFrame, layer_epochs: pd.DataFrame) -> Figure:
    """Gradient norm of each weight matrix over the epochs, first layer dark, classifier light.

    Args:
        rows: as `scaling.results.read` gives them.
        layer_epochs: of these runs, as `scaling.results.layer_epochs` gives them.
    """

    def courses(lines: pd.DataFrame) -> pd.DataFrame:
        table: pd.DataFrame = lines.groupby(["layer", "epoch"], sort=False)[
            ["mean", "q05", "q95"]
        ].mean()
        return table

    def draw(lines: pd.DataFrame, axes: Axes, limits: Limits) -> None:
        means = courses(lines)
        shades = colors_of(lines["layer"].unique())
        labels, names = [], list(shades)
        for name, color in shades.items():
            course = means.xs(name).sort_index()
            axes.plot(course.index, course["mean"], color=color, linewidth=1.3, label=f"_{name}")
            if name in (names[0], names[-1]):
                axes.fill_between(
                    course.index, course["q05"], course["q95"], color=color, alpha=0.15, linewidth=0
                )
            end = float(course["mean"].iloc[-1]), float(course.index[-1])
            labels.append(Label(end[0], str(name), color, end[1]))
        axes.set_yscale("log")
        log_values(axes.yaxis, *limits.log_padded())
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("gradient norm of a mini-batch")
        right_labels(axes, labels, INNER)

    return _of_weights(rows, layer_epochs, draw, courses)


def layer_map(rows: pd.DataFrame, layer_epochs: pd.DataFrame) -> Figure:
    """RMS of the gradient over layer and epoch, mean over mini-batches and seeds, in colors.

    Args:
        rows: as `scaling.results.read` gives them.
        layer_epochs: of these runs, as `scaling.results.layer_epochs` gives them.
    """
    norm: Normalize = Normalize()

    def table(lines: pd.DataFrame) -> pd.DataFrame:
        means = lines.pivot_table(index="layer", columns="epoch", values="rms", sort=False)
        means = means.reindex(columns=sorted(means))
        return means.where(means > 0)  # a dead layer stays blank

    def draw(lines: pd.DataFrame, axes: Axes, limits: Limits) -> None:
        nonlocal norm
        norm = LogNorm(*limits.log_padded())
        means = table(lines)
        heatmap(axes, means, norm, MAP, edges=False)
        epochs = [f"{epoch:g}" for epoch in means.columns]
        tried_axis(axes.xaxis, [i + 0.5 for i in range(len(epochs))], epochs)
        tried_axis(axes.yaxis, [i + 0.5 for i in range(len(means))], list(means.index.astype(str)))
        axes.set_xlabel("epoch")

    figure = _of_weights(rows, layer_epochs, draw, table, shared=False)
    if norm.vmin is not None:
        color_bar(figure, norm, MAP, "RMS of the gradient", "neither")
    return figure


def batch_norms(rows: pd.DataFrame, layer_epochs: pd.DataFrame) -> Figure:
    """Spread of mini-batch norms in each epoch, of the first weight matrix and the classifier.

    Args:
        rows: as `scaling.results.read` gives them.
        layer_epochs: of these runs, as `scaling.results.layer_epochs` gives them.
    """

    def scaled(lines: pd.DataFrame) -> pd.DataFrame:
        names = list(lines["layer"].unique())
        ends = lines[lines["layer"].isin([names[0], names[-1]])]
        table = ends[["q05", "q50", "q95"]].div(ends["mean"], axis=0)
        means: pd.DataFrame = table.groupby([ends["layer"], ends["epoch"]], sort=False).mean()
        return means

    def draw(lines: pd.DataFrame, axes: Axes, limits: Limits) -> None:
        table = scaled(lines)
        colors = sns.color_palette("colorblind", 2)
        for i, name in enumerate(table.index.unique("layer")):
            course = table.loc[name].sort_index()
            at = course.index.to_numpy() + 0.24 * (i - 0.5)
            axes.vlines(at, course["q05"], course["q95"], color=colors[i], linewidth=1.6,
                        label=name)  # fmt: skip
            axes.plot(at, course["q50"], "_", color=colors[i], markersize=6, markeredgewidth=1.4)
        axes.axhline(1, color="0.5", linewidth=0.8, zorder=0.5)
        axes.set_yscale("log")
        log_values(axes.yaxis, *limits.log_padded())
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("mini-batch norm over the epoch's mean")

    return _of_weights(rows, layer_epochs, draw, scaled)


def accuracy_over_noise(rows: pd.DataFrame) -> Figure:
    """Accuracy at the end of training against the share of wrong training labels.

    Args:
        rows: as `scaling.results.read` gives them, of several `data.label_noise`.
    """
    best = at_best(rows)
    shares = sorted({100 * float(share) for share in best[NOISE].dropna()})

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        done = block[block["status"] == "done"]
        if "train_accuracy" in done:  # without noise, all labels are correct
            clean = done.get("train_accuracy_clean", done["train_accuracy"])
            all_clean = done["train_accuracy"].where(done[NOISE] == 0, clean)
            done = done.assign(train_accuracy_clean=all_clean)
        colors = sns.color_palette("colorblind", len(SCORES))
        for (column, (name, marker)), color in zip(SCORES.items(), colors, strict=True):
            scored = done[done[column].notna()] if column in done else done.iloc[:0]
            if scored.empty:
                continue
            means = scored.groupby(NOISE)[column].agg(["mean", "min", "max"]) * 100
            axes.errorbar(
                means.index * 100, means["mean"], yerr=spread(means), color=color, marker=marker,
                markersize=4, linewidth=1.2, capsize=2, label=name,
            )  # fmt: skip
        axes.set_ylim(0, 102)
        tried_axis(axes.xaxis, shares)
        axes.set_xlabel("wrong training labels (%)")
        axes.set_ylabel("accuracy (%)")

    return panels(best, draw, (NOISE,))


def _of_weights(
    rows: pd.DataFrame,
    layer_epochs: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes, Limits], None],
    values: Callable[[pd.DataFrame], pd.DataFrame],
    **options: Any,
) -> Figure:
    """Panels of the weight matrices of finished runs, in layer order, with limits of all panels."""
    weights = layer_epochs[layer_epochs["kind"] == "weight"].astype({"layer": str})
    best = at_best(rows)

    def lines_of(block: pd.DataFrame) -> pd.DataFrame:
        return weights[weights["run"].isin(block.loc[block["status"] == "done", "run"])]

    every = [lines_of(block) for _, block in by_setting(best)]
    limits = log_limits(
        value for lines in every if len(lines) for value in values(lines).to_numpy().ravel()
    )

    def draw_done(block: pd.DataFrame, axes: Axes) -> None:
        lines = lines_of(block)
        if lines.empty or not limits.known:
            blank(axes, "no layer was measured")
        else:
            draw(lines, axes, limits)

    return panels(best, draw_done, **options)
