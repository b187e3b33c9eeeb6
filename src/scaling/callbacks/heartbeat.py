"""Write a heartbeat: the progress of a run."""

import math
import time
from pathlib import Path
from typing import Any

import lightning as L

from scaling.callbacks.optimizer_step import loss_of
from scaling.storage import heartbeats


class Heartbeat(L.Callback):
    """Write a `scaling.storage.heartbeats.Beat` into a folder, at most every `seconds`.

    Args:
        folder: of the run.
        seconds: minimum time between two beats.
    """

    def __init__(self, folder: Path, *, seconds: float):
        self.folder, self.seconds = folder, seconds
        self.loss: float | None = None  # of the last training batch before a beat, if finite

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.began = self.last = time.monotonic()
        self.first = trainer.global_step

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.began, self.first = time.monotonic(), trainer.global_step
        self._beat(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self.last >= self.seconds:
            loss = loss_of(trainer, outputs)
            number = math.nan if loss is None else float(loss)  # fetched once for each beat
            self.loss = number if math.isfinite(number) else None
            self._beat(trainer)

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        if time.monotonic() - self.last >= self.seconds:
            self._beat(trainer)

    def _beat(self, trainer: L.Trainer) -> None:
        self.last = time.monotonic()
        lasted = self.last - self.began
        taken = trainer.global_step - self.first
        heartbeats.write(
            self.folder,
            step=trainer.global_step,
            steps=trainer.max_steps,
            speed=taken / lasted if taken else None,
            loss=self.loss,
        )
