"""Gradient statistics of every parameter tensor over the mini-batches of each epoch."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from scaling.callbacks.optimizer_step import Step, begin, refuse_several
from scaling.callbacks.parameter_tensors import Layer, layers, ratio
from scaling.storage.tables import Recorder

MEASURED = 4  # of a tensor in a step: gradient norm, its variance, norms of update and weight


class LayerEpochs(L.Callback):
    """Record each epoch of every parameter tensor in the table `layer_epochs`.

    Every optimizer step is measured, and an epoch's steps are summed up at its end; those of a
    last, partial epoch at the end of `fit`. An interrupted fit leaves those of its open epoch to
    its checkpoint. Gradients are accumulated, unscaled, and not yet clipped. There are two
    variances, which do not compare:

    - `mean`, `variance`, `q05`, `q50`, `q95`: over mini-batches, of the gradient's L2 norm. The
      variance is the unbiased one (n - 1), missing for a single mini-batch; quantiles are exact,
      and interpolated between mini-batches.
    - `coordinate_variance`: the mean over mini-batches of the variance over the tensor's
      coordinates.

    `rms` is the mean over mini-batches of norm / sqrt(size), `update_to_weight` that of the
    measured update, without what decoupled weight decay took, over the tensor before it, where the
    tensor was not zero. `count` says how many mini-batches (optimizer steps) there were; those that
    a gradient scaler skipped are none, and neither are steps in which the tensor had no gradient.

    It watches and never steers: final weights are bit-identical with and without it. The step is
    measured once for all callbacks (`scaling.callbacks.optimizer_step`). Memory: four numbers of
    each tensor and step of the open epoch, on the host, and in checkpoints.

    Args:
        flush_every: optimizer steps between copies from the device.

    Raises:
        ValueError: at construction for `flush_every` below 1; at the start of `fit` for several
            optimizers or devices.
    """

    def __init__(self, *, flush_every: int):
        if flush_every < 1:
            raise ValueError(f"flush_every={flush_every} must be at least 1 step")
        self.flush_every = flush_every
        self.recorder: Recorder | None = None
        self.resumed: dict[str, Any] = {"rows": 0, "seconds": 0.0, "lasted": 0.0, "epoch": 0}
        self.pending: list[Tensor] = []  # (measured, tensors) of a step each
        self.step: Step | None = None  # one that has begun
        self.started = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        refuse_several(trainer, self)
        self.trainer = trainer
        self.recorder = Recorder(
            Path(trainer.log_dir or ".", "layer_epochs"),
            rows_per_part=1_000,
            keep=int(self.resumed["rows"]),
        )
        found = layers(module)
        self.layers = list(found.values())
        self.numbers = {identity: number for number, identity in enumerate(found)}
        self.pending, self.step = [], None
        self.moved: list[list[int]] = []  # numbers of the tensors of a pending step
        self.epoch = self.resumed["epoch"]  # that the steps below belong to
        self.values = [self.resumed.get("values", torch.empty(MEASURED, 0)).numpy()]
        self.owners = [self.resumed.get("owners", torch.empty(0, dtype=torch.int64)).numpy()]
        self.seconds = self.resumed["seconds"]
        self.started = time.perf_counter() - self.resumed["lasted"]
        self.resumed = {"rows": 0, "seconds": 0.0, "lasted": 0.0, "epoch": 0}  # the next one's

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        entered = time.perf_counter()
        if trainer.current_epoch != self.epoch:
            self._close_epoch()
            self.epoch = trainer.current_epoch
        with torch.no_grad():
            self.step = begin(trainer, optimizer)
            if self.step is not None:
                self.variances = self.step.spread[1]
        self.seconds += time.perf_counter() - entered

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.step is None:  # micro-batches that do not step end here too
            return
        entered = time.perf_counter()
        with torch.no_grad():
            step = self.step
            measured = (step.norms, self.variances, step.updates, step.weights)
            self.pending.append(torch.stack(measured))
            self.moved.append([self.numbers[id(tensor)] for tensor in step.tensors])
            self.step = None
        if len(self.pending) >= self.flush_every:
            self._flush()
        self.seconds += time.perf_counter() - entered

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        entered = time.perf_counter()
        self._close_epoch()
        self.seconds += time.perf_counter() - entered

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the steps of the open epoch; its other rows are on disk."""
        if self.recorder is None:
            return self.resumed
        self._flush()
        self.recorder.flush()
        return {
            "rows": self.recorder.rows,
            "seconds": self.seconds,
            "lasted": self.lasted,
            "epoch": self.epoch,
            "values": torch.from_numpy(np.concatenate(self.values, axis=1)),
            "owners": torch.from_numpy(np.concatenate(self.owners)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close_epoch()
        assert self.recorder is not None
        self.recorder.flush()

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        if self.recorder is not None:
            self.recorder.flush()  # the open epoch is no row: a resumed run goes on with it

    @property
    def lasted(self) -> float:
        """Seconds since `fit` began, those before a resumption included."""
        return time.perf_counter() - self.started

    def columns(self) -> dict[str, float]:
        """The share of the training time that was spent here, in percent."""
        if self.recorder is None:
            return {}
        return {"layer_epoch_statistics_percent": 100 * self.seconds / self.lasted}

    def _flush(self) -> None:
        """Copy the pending steps from the device, less those that a gradient scaler skipped."""
        if not self.pending:
            return
        values = torch.cat(self.pending, dim=1).cpu().numpy()
        owners = np.concatenate(self.moved)
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            lengths = [len(moved) for moved in self.moved]
            begins = np.cumsum([0, *lengths[:-1]])
            taken = np.repeat(np.isfinite(np.add.reduceat(values[0], begins)), lengths)
            values, owners = values[:, taken], owners[taken]
        self.values.append(values)
        self.owners.append(owners)
        self.pending, self.moved = [], []

    def _close_epoch(self) -> None:
        """Sum up the open epoch, if it has a step, and append its rows."""
        self._flush()
        assert self.recorder is not None
        values, owners = np.concatenate(self.values, axis=1), np.concatenate(self.owners)
        self.values, self.owners = [values[:, :0]], [owners[:0]]
        order = np.argsort(owners, kind="stable")
        numbers, begins = np.unique(owners[order], return_index=True)
        parts = np.split(values[:, order], begins[1:], axis=1)
        rows = [
            {"epoch": self.epoch, **summary(self.layers[number], part)}
            for number, part in zip(numbers, parts, strict=bool(len(numbers)))
        ]
        if rows:
            self.recorder.extend({name: [row[name] for row in rows] for name in rows[0]})


def summary(layer: Layer, values: np.ndarray) -> dict[str, Any]:
    """A tensor's row of an epoch, but for the epoch's number.

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
