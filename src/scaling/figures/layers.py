"""Gradients layer by layer over the epochs of a run, and accuracies over label noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis.at_best import at_best
from scaling.figures.panels import blank, panels, spread

NOISE = "data.label_noise"
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
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

    def draw(lines: pd.DataFrame, axes: Axes) -> None:
        means = lines.groupby(["layer", "epoch"], sort=False)[["mean", "q05", "q95"]].mean()
        shades = _shades(lines)
        for name, color in shades:
            course = means.loc[name].sort_index()
            axes.plot(course.index, course["mean"], color=color, linewidth=1.5, label=name)
            if name in (shades[0][0], shades[-1][0]):
                axes.fill_between(
                    course.index, course["q05"], course["q95"], color=color, alpha=0.2, linewidth=0
                )
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("gradient norm of a mini-batch")
        axes.legend(**BESIDE)

    return _of_weights(rows, layer_epochs, draw)


def layer_map(rows: pd.DataFrame, layer_epochs: pd.DataFrame) -> Figure:
    """RMS of the gradient over layer and epoch, log10 of the mean over mini-batches and seeds.

    Args:
        rows: as `scaling.results.read` gives them.
        layer_epochs: of these runs, as `scaling.results.layer_epochs` gives them.
    """

    def draw(lines: pd.DataFrame, axes: Axes) -> None:
        means = lines.pivot_table(index="layer", columns="epoch", values="rms", sort=False)
        means = means.reindex(columns=sorted(means))
        means = means.where(means > 0).transform(np.log10)  # a dead layer stays blank
        label = "log10 of the gradient's RMS"
        sns.heatmap(means, ax=axes, cmap="cividis", cbar_kws={"label": label})
        axes.set_xlabel("epoch")
        axes.set_ylabel("")
        axes.tick_params(axis="y", rotation=0)

    return _of_weights(rows, layer_epochs, draw)


def batch_norms(rows: pd.DataFrame, layer_epochs: pd.DataFrame) -> Figure:
    """Spread of mini-batch norms in each epoch, of the first weight matrix and the classifier.

    Args:
        rows: as `scaling.results.read` gives them.
        layer_epochs: of these runs, as `scaling.results.layer_epochs` gives them.
    """

    def draw(lines: pd.DataFrame, axes: Axes) -> None:
        names = list(lines["layer"].unique())
        colors = sns.color_palette("colorblind", 2)
        for i, name in enumerate(dict.fromkeys((names[0], names[-1]))):
            layer = lines[lines["layer"] == name]
            scaled = layer[["q05", "q50", "q95"]].div(layer["mean"], axis=0)
            course = scaled.groupby(layer["epoch"]).mean()
            at = course.index.to_numpy() + 0.2 * (i - 0.5)
            axes.vlines(at, course["q05"], course["q95"], color=colors[i], linewidth=2, label=name)
            axes.plot(at, course["q50"], "_", color=colors[i], markersize=7)
        axes.axhline(1, color="0.5", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("mini-batch norm over the epoch's mean")
        axes.legend(**BESIDE)

    return _of_weights(rows, layer_epochs, draw)


def accuracy_over_noise(rows: pd.DataFrame) -> Figure:
    """Accuracy at the end of training against the share of wrong training labels.

    Args:
        rows: as `scaling.results.read` gives them, of several `data.label_noise`.
    """

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
                markersize=5, capsize=2, label=name,
            )  # fmt: skip
        axes.set_ylim(0, 102)
        axes.set_xlabel("wrong training labels (%)")
        axes.set_ylabel("accuracy (%)")
        axes.legend(**BESIDE)

    return panels(at_best(rows), draw, (NOISE,))


def _of_weights(
    rows: pd.DataFrame, layer_epochs: pd.DataFrame, draw: Callable[[pd.DataFrame, Axes], None]
) -> Figure:
    """Panels of the weight matrices of finished runs, in layer order."""
    weights = layer_epochs[layer_epochs["kind"] == "weight"].astype({"layer": str})

    def draw_done(block: pd.DataFrame, axes: Axes) -> None:
        lines = weights[weights["run"].isin(block.loc[block["status"] == "done", "run"])]
        if lines.empty:
            blank(axes, "no layer was measured")
        else:
            draw(lines, axes)

    return panels(at_best(rows), draw_done)


def _shades(lines: pd.DataFrame) -> list[tuple[str, tuple[float, float, float]]]:
    """Each layer with its color, from the first to the last."""
    names = list(lines["layer"].unique())
    return list(zip(names, sns.color_palette("viridis", len(names) + 1)[:-1], strict=True))
