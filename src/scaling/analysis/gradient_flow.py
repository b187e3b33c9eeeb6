"""Whether gradients reach the early layers of a net, from the tables of one run.

Layers are the weight tensors in the order of the module, the first next to the input. Norms of
tensors of different size are not comparable, so a layer is measured by the RMS of its gradient,
column `rms` of `layer_epochs`, unless another column is given. A run is one observation: its epochs
and layers are not independent, so these results have no intervals; take intervals over seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.intervals import slopes
from scaling.contracts.columns import alike, need
from scaling.contracts.words import counted

LAYER_COLUMNS = ("epoch", "layer", "kind", "count", "mean", "variance", "rms")


@dataclass(frozen=True)
class DepthRatio:
    """The first layer's measure over the last layer's in an epoch; below 1 if gradients vanish."""

    epoch: int
    first: str
    last: str
    ratio: float  # nan if the last layer's measure is zero


@dataclass(frozen=True)
class DepthSlope:
    """Least-squares slope of the log of the measure against the layer's number, in an epoch.

    Positive if gradients shrink towards the input, by a factor of exp(-slope) per layer.
    """

    epoch: int
    slope: float  # natural log per layer; nan for fewer than two layers
    layers: int  # number of layers fitted; a layer whose measure is zero has no log


@dataclass(frozen=True)
class EpochSlope:
    """Least-squares slope of the log of a layer's measure against the epoch.

    Negative if the layer's gradients decay with training, by a factor of exp(slope) per epoch.
    """

    layer: str
    slope: float  # natural log per epoch; nan for fewer than two epochs
    epochs: int  # number of epochs fitted


@dataclass(frozen=True)
class Scatter:
    """The scatter of a layer's mini-batch norms within an epoch."""

    epoch: int
    layer: str
    variation: float  # standard deviation over mean; nan for a single mini-batch


@dataclass(frozen=True)
class Collapse:
    """When the gradients of early layers collapsed, if they did."""

    onset: int | None  # epoch; None if there was no collapse
    layer: str | None  # the early layer that collapsed first
    lowest: float  # smallest RMS of an early layer, divided by its start and the loss that is left
    reason: str  # why no collapse is reported; empty if one is


def depth_ratios(layers: pd.DataFrame, *, measure: str = "rms") -> tuple[DepthRatio, ...]:
    """First-to-last-layer ratio of each epoch.

    Args:
        layers: `layer_epochs` rows of one run.
        measure: column to compare: `rms`, or `mean` for the norm itself.

    Raises:
        ValueError: for an absent column, or rows of several runs.
    """
    table = _weights(layers, measure)
    first, last = table.iloc[:, 0], table.iloc[:, -1]
    ratios = (first / last.where(last > 0)).to_numpy(float)
    names = str(table.columns[0]), str(table.columns[-1])
    pairs = zip(table.index, ratios, strict=True)
    return tuple(DepthRatio(int(epoch), *names, float(ratio)) for epoch, ratio in pairs)


def depth_slopes(layers: pd.DataFrame, *, measure: str = "rms") -> tuple[DepthSlope, ...]:
    """Decay rate over depth of each epoch; arguments and errors as in `depth_ratios`."""
    table = _weights(layers, measure)
    numbers = np.arange(table.shape[1], dtype=float)
    lines = [_log_slope(numbers, values) for values in table.to_numpy(float)]
    pairs = zip(table.index, lines, strict=True)
    return tuple(DepthSlope(int(epoch), slope, points) for epoch, (slope, points) in pairs)


def epoch_slopes(layers: pd.DataFrame, *, measure: str = "rms") -> tuple[EpochSlope, ...]:
    """Decay rate over training of each layer; arguments and errors as in `depth_ratios`."""
    table = _weights(layers, measure)
    epochs = table.index.to_numpy(float)
    lines = [_log_slope(epochs, values) for values in table.to_numpy(float).T]
    pairs = zip(table.columns, lines, strict=True)
    return tuple(EpochSlope(str(layer), slope, points) for layer, (slope, points) in pairs)


def scatters(layers: pd.DataFrame) -> tuple[Scatter, ...]:
    """Coefficient of variation of the mini-batch norms of every epoch and tensor, biases included.

    It is the same for norms and RMS. From n mini-batches it is biased low by about 1 in 4 n.

    Args:
        layers: `layer_epochs` rows of one run.

    Raises:
        ValueError: for an absent column, or rows of several runs.
    """
    need(layers, *LAYER_COLUMNS)
    alike(layers, "study", "run")
    mean, deviation = layers["mean"], np.sqrt(layers["variance"])
    values = (deviation / mean.where(mean > 0)).to_numpy(float)
    rows = zip(layers["epoch"], layers["layer"], values, strict=True)
    return tuple(Scatter(int(epoch), str(layer), float(value)) for epoch, layer, value in rows)


def epoch_losses(steps: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Mean training loss of each epoch: columns `epoch` and `train_loss`.

    Steps are assigned to epochs by the mini-batch counts in `layers`: the largest count of an
    epoch's tensors is its number of steps.

    Args:
        steps: `steps` rows of one run, with or without those that a gradient scaler skipped.
        layers: `layer_epochs` rows of the same run.

    Raises:
        ValueError: for an absent column, rows of several runs, or a different number of steps.
    """
    need(steps, "step", "train_loss")
    need(layers, *LAYER_COLUMNS)
    alike(layers, "study", "run")
    alike(steps, "study", "run")
    taken = steps[~steps["skipped"].astype(bool)] if "skipped" in steps else steps
    counts = layers.groupby("epoch")["count"].max()
    losses = taken.sort_values("step")["train_loss"].to_numpy(float)
    if len(losses) != counts.sum():
        raise ValueError(
            f"{len(losses)} steps, but the layers count {counts.sum()}; give tables of one run "
            "that was measured at every step"
        )
    epochs = np.repeat(counts.index.to_numpy(), counts.to_numpy())
    means = pd.Series(losses).groupby(epochs).mean()
    return pd.DataFrame({"epoch": means.index, "train_loss": means.to_numpy()})


def collapse(
    layers: pd.DataFrame,
    epochs: pd.DataFrame,
    *,
    loss: str,
    early: int,
    share: float,
    still: float,
    stretch: int,
) -> Collapse:
    """Find the first epoch of a collapse: an early layer's gradients vanish, the loss stands still.

    It is the first of `stretch` consecutive epochs in which the RMS of an early layer's gradient is
    less than `share` of its start, and over which the loss falls by less than a fraction `still`.
    Gradients also shrink as the loss is learned: with cross-entropy, at most about in proportion to
    it. So the start is scaled by the fraction of the loss that is left, at most 1; without learning
    this factor is 1.

    The start is the mean of the first epoch. Gradients that vanish within it, or are zero from the
    start, are not detected; `depth_ratios` shows them.

    Args:
        layers: `layer_epochs` rows of one run.
        epochs: a line per epoch, with a loss.
        loss: its column. It must be the training loss (`epoch_losses`): when that is learned,
            gradients vanish for a good reason, whatever the validation loss does.
        early: number of the first weight tensors that count as early.
        share: fraction of the start below which gradients count as lost.
        still: a loss that falls by less than this fraction over a stretch stands still.
        stretch: epochs, at least 2.

    Raises:
        ValueError: for an invalid argument, an absent column, rows of several runs, or an epoch of
            `layers` without a loss.
    """
    for name, value in {"share": share, "still": still}.items():
        if not 0 < value < 1:
            raise ValueError(f"{name}={value} must lie between 0 and 1, such as 0.1")
    if stretch < 2:
        raise ValueError(f"stretch={stretch} must be at least 2 epochs for a loss to stand still")
    table = _weights(layers, "rms")
    if not 1 <= early <= table.shape[1]:
        raise ValueError(
            f"early={early} must be 1 to {table.shape[1]}, the number of weight tensors"
        )
    need(epochs, "epoch", loss)
    alike(epochs, "study", "run")
    by_epoch = epochs.groupby("epoch")[loss].last()
    if without := sorted(set(table.index) - set(by_epoch.index)):
        raise ValueError(
            f"no {loss} for epoch {without[0]}; give a line for each epoch of the layers"
        )
    losses = by_epoch.loc[table.index].to_numpy(float)
    left = np.minimum(losses / losses[0], 1.0)
    rms = table.to_numpy(float)[:, :early]
    with np.errstate(invalid="ignore", divide="ignore"):  # of runs that diverged
        shares = rms / rms[0] / left[:, None]
    lowest = float(np.nanmin(shares)) if np.isfinite(shares).any() else math.nan
    if len(table) <= stretch:
        return Collapse(None, None, lowest, f"{counted(len(table), 'epoch')}; {stretch + 1} needed")
    low = shares < share
    for begin in range(1, len(table) - stretch + 1):
        whole = slice(begin, begin + stretch)
        held = losses[begin + stretch - 1] > (1 - still) * losses[begin]
        if held and (lost := low[whole].all(axis=0)).any():
            layer = str(table.columns[int(np.argmin(np.where(lost, shares[begin], np.inf)))])
            return Collapse(int(table.index[begin]), layer, lowest, "")
    ever = low.any()
    reason = "the loss still falls where they vanish" if ever else f"none below {share:g}"
    return Collapse(None, None, lowest, reason)


def _weights(layers: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A measure of the weight tensors: a row per epoch, a column per layer in module order."""
    need(layers, *LAYER_COLUMNS, measure)
    alike(layers, "study", "run")
    weights = layers[layers["kind"] == "weight"]
    if weights.empty:
        raise ValueError("no weight tensor in these rows; were layers measured?")
    layer, names = pd.factorize(weights["layer"])
    epochs, epoch = np.unique(weights["epoch"], return_inverse=True)
    if (twice := np.bincount(epoch * len(names) + layer) > 1).any():
        at, which = divmod(int(twice.argmax()), len(names))
        raise ValueError(
            f"layer {names[which]} has two lines in epoch {epochs[at]}; give one run at a time"
        )
    values = weights[measure].to_numpy()
    table = np.full((len(epochs), len(names)), np.nan, np.result_type(values, np.float32))
    table[epoch, layer] = values
    return pd.DataFrame(table, pd.Index(epochs, name="epoch"), pd.Index(names, name="layer"))


def _log_slope(x: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, int]:
    """Slope of the log of positive, finite values against x, and the number of these values."""
    positive = np.isfinite(values) & (values > 0)
    x, y = x[positive], np.log(values[positive])
    if len(x) < 2:
        return math.nan, len(x)
    return float(slopes(x, y)), len(x)
