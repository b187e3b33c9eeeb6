"""Gradient statistics of every parameter tensor over the mini-batches of each epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scaling.callbacks.optimizer_step import Step
from scaling.callbacks.parameter_tensors import Layer, ratio
from scaling.callbacks.recording import Recording

MEASURED = 4  # of a tensor in a step: gradient norm, its variance, norms of update and weight


class LayerEpochs(Recording):
    """Record each epoch of every parameter tensor in the table `layer_epochs`.

    Every optimizer step is measured, and the steps of an epoch are summarised at its end; those of
    a last, partial epoch at the end of `fit`. If a fit is interrupted, the steps of its open epoch
    are kept in the checkpoint. Gradients are accumulated, unscaled, and not yet clipped. There are
    two variances, which are not comparable:

    - `mean`, `variance`, `q05`, `q50`, `q95`: over mini-batches, of the gradient's L2 norm. The
      variance is the unbiased one (n - 1), missing for a single mini-batch; quantiles are exact,
      and interpolated between mini-batches.
    - `coordinate_variance`: the mean over mini-batches of the variance over the tensor's
      coordinates.

    `rms` is the mean over mini-batches of norm / sqrt(size). `update_to_weight` is the mean of a
    ratio of norms: the measured update (without decoupled weight decay) over the tensor before it,
    at steps with a tensor that is not zero. `count` is the number of mini-batches (optimizer
    steps), without steps that a gradient scaler skipped or in which the tensor had no gradient.

    Read-only: training is bit-identical with or without it. Memory: four numbers per tensor and
    step of the open epoch, on the host and in checkpoints.

    Args:
        flush_every: optimizer steps between copies from the device.

    Raises:
        ValueError: at construction for `flush_every` below 1; at the start of `fit` for several
            optimizers or devices.
    """

    table = "layer_epochs"
    rows_per_part = 1_000
    cost = "layer_epoch_statistics_percent"

    def __init__(self, *, flush_every: int):
        super().__init__(flush_every=flush_every)

    def start(self, state: Mapping[str, Any]) -> None:
        self.blocks = list(self.layers.values())
        self.numbers = {identity: number for number, identity in enumerate(self.layers)}
        self.epoch = state.get("epoch", 0)  # of the steps below
        self.values = [state.get("values", torch.empty(MEASURED, 0)).numpy()]
        self.owners = [state.get("owners", torch.empty(0, dtype=torch.int64)).numpy()]

    def before(self, step: Step) -> None:
        if step.epoch != self.epoch:
            self._close_epoch()
            self.epoch = step.epoch
        _, self.variance = step.spread

    def measure(self, step: Step) -> Mapping[str, Tensor]:
        return {
            "norm": step.norms,
            "variance": self.variance,
            "update": step.updates,
            "weight": step.weights,
        }

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        """Keep the steps for the end of their epoch, without those that a scaler skipped."""
        values = np.stack(list(measured.values()))  # (measured, steps, tensors)
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            values = values[:, np.isfinite(measured["norm"]).all(axis=1)]
        moved = [self.numbers[id(tensor)] for tensor in steps[0].tensors]
        self.owners.append(np.tile(np.array(moved), values.shape[1]))
        self.values.append(values.reshape(MEASURED, -1))
        return {}

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        with self._timed():
            self._close_epoch()

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close_epoch()
        super().on_fit_end(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the steps of the open epoch."""
        if self.recorder is None:
            return self.resumed
        return super().state_dict() | {
            "epoch": self.epoch,
            "values": torch.from_numpy(np.concatenate(self.values, axis=1)),
            "owners": torch.from_numpy(np.concatenate(self.owners)),
        }

    def _close_epoch(self) -> None:
        """Summarise the open epoch, if it has a step, and append its rows."""
        self.flush()
        assert self.recorder is not None
        values, owners = np.concatenate(self.values, axis=1), np.concatenate(self.owners)
        self.values, self.owners = [values[:, :0]], [owners[:0]]
        order = np.argsort(owners, kind="stable")
        numbers, begins = np.unique(owners[order], return_index=True)
        parts = np.split(values[:, order], begins[1:], axis=1)
        rows = [
            {"epoch": self.epoch, **summary(self.blocks[number], part)}
            for number, part in zip(numbers, parts, strict=bool(len(numbers)))
        ]
        if rows:
            self.recorder.extend({name: [row[name] for row in rows] for name in rows[0]})


def summary(layer: Layer, values: np.ndarray) -> dict[str, Any]:
    """A tensor's row of an epoch, without the epoch's number.

    Args:
        layer: the tensor.
        values: gradient norm, variance over coordinates, norms of update and weight, of each
            mini-batch; at least one.
    """
    norms, variances, updates, weights = values.astype(np.float64)
    changes = ratio(updates, weights)
    changes = changes[~((weights == 0) & np.isnan(changes))]
    with np.errstate(invalid="ignore"):  # of a run that diverged
        low, middle, high = np.quantile(norms, [0.05, 0.5, 0.95])
        return {
            "layer": layer.name,
            "kind": layer.kind,
            "size": layer.size,
            "mean": norms.mean(),
            "variance": norms.var(ddof=1) if len(norms) > 1 else np.nan,
            "q05": low,
            "q50": middle,
            "q95": high,
            "count": len(norms),
            "rms": norms.mean() / np.sqrt(layer.size),
            "coordinate_variance": variances.mean(),
            "update_to_weight": changes.mean() if len(changes) else np.nan,
        }
