"""Gradient and update statistics of every parameter tensor, every so many steps."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from scaling.callbacks.optimizer_step import Step, begin, refuse_several
from scaling.callbacks.parameter_tensors import layers, ratio
from scaling.storage.tables import Recorder


class LayerGradients(L.Callback):
    """Record every parameter tensor in the table `layers`, below the trainer's `log_dir`.

    Statistics are those of the accumulated, unscaled gradient before clipping, over the coordinates
    of each tensor: its L2 norm, the root of its mean square, its mean and its variance (over all
    coordinates, hence not comparable with a variance over mini-batches). `update_to_weight` is the
    norm of the measured update, without what decoupled weight decay took, over that of the tensor
    before it; missing for a tensor of zeros. A parameter that two modules share appears once, under
    its first name.

    It watches and never steers: final weights are bit-identical with and without it.

    Args:
        every: optimizer steps between two measured ones; the first step is one of them.
        flush_every: measured steps between copies from the device.

    Raises:
        ValueError: at construction for `every` or `flush_every` below 1; at the start of `fit` for
            several optimizers or devices.
    """

    def __init__(self, *, every: int, flush_every: int):
        for key, value in {"every": every, "flush_every": flush_every}.items():
            if value < 1:
                raise ValueError(f"{key}={value} must be at least 1 step")
        self.every, self.flush_every = every, flush_every
        self.recorder: Recorder | None = None
        self.resumed: dict[str, float] = {"rows": 0, "seconds": 0.0, "lasted": 0.0}
        self.pending: list[Tensor] = []  # (statistics, layers) of a step each
        self.step: Step | None = None  # one that has begun
        self.started = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        refuse_several(trainer, self)
        self.trainer = trainer
        self.recorder = Recorder(
            Path(trainer.log_dir or ".", "layers"),
            rows_per_part=100_000,
            keep=int(self.resumed["rows"]),
        )
        self.layers = layers(module)
        self.pending = []
        self.known: list[tuple[int, int, tuple[int, ...]]] = []  # step, epoch, ids of tensors
        self.step = None
        self.seconds = self.resumed["seconds"]
        self.started = time.perf_counter() - self.resumed["lasted"]
        self.resumed = {"rows": 0, "seconds": 0.0, "lasted": 0.0}  # the next fit is another one

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.global_step % self.every:
            return
        entered = time.perf_counter()
        with torch.no_grad():
            self.step = begin(trainer, optimizer)
            if self.step is not None:
                self.moments = torch.cat([self.step.norms[None], self.step.spread])
        self.seconds += time.perf_counter() - entered

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.step is None:
            return
        entered = time.perf_counter()
        with torch.no_grad():
            step, change = self.step, torch.stack([self.step.updates, self.step.weights])
            self.pending.append(torch.cat([self.moments, change]))
            self.known.append((step.number, trainer.current_epoch, tuple(map(id, step.tensors))))
            self.step = None
        if len(self.pending) >= self.flush_every:
            self._flush()
        self.seconds += time.perf_counter() - entered

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; the rows that it counts are on disk before it is."""
        if self.recorder is None:
            return self.resumed
        self._close()
        return {"rows": self.recorder.rows, "seconds": self.seconds, "lasted": self.lasted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        self._close()

    def columns(self) -> dict[str, float]:
        """The share of the training time that was spent here, in percent."""
        if self.recorder is None:
            return {}
        return {"layer_statistics_percent": 100 * self.seconds / self.lasted}

    def _flush(self) -> None:
        """Copy the pending steps from the device and append them to the table."""
        if not self.pending or self.recorder is None:
            return
        measured = torch.cat(self.pending, dim=1).cpu().numpy()
        blocks = [[self.layers[number] for number in numbers] for _, _, numbers in self.known]
        layers = [layer for block in blocks for layer in block]
        lengths = [len(block) for block in blocks]
        norm, mean, variance, update, weight = measured
        size = np.array([layer.size for layer in layers])
        self.recorder.extend(
            {
                "step": np.repeat([step for step, _, _ in self.known], lengths),
                "epoch": np.repeat([epoch for _, epoch, _ in self.known], lengths),
                "layer": np.array([layer.name for layer in layers], dtype=object),
                "kind": np.array([layer.kind for layer in layers], dtype=object),
                "size": size,
                "grad_norm": norm,
                "grad_rms": norm / np.sqrt(size),
                "grad_mean": mean,
                "grad_variance": variance,
                "update_to_weight": ratio(update, weight),
            }
        )
        self.pending, self.known = [], []

    def _close(self) -> None:
        self.lasted = time.perf_counter() - self.started
        self._flush()
        if self.recorder is not None:
            self.recorder.flush()
