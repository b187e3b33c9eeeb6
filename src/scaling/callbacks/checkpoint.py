"""Checkpoints that a killed run resumes from with the same result."""

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from scaling.contracts.atomic_write import atomic_write


class Resumable(Checkpoint):
    """Save the whole state of a run every `seconds`, in one file that replaces the one before.

    It saves after an optimizer step, after all other callbacks (Lightning calls checkpoint
    callbacks last), but not between the last step of an epoch and its validation. A resumed run
    therefore repeats and skips nothing. The file is written atomically.

    Args:
        path: of the file.
        seconds: minimum time between two saves; a killed run loses at most that and a step.
        threads: of the run; saved so that it resumes with the same number on any machine, because
            sums are rounded differently otherwise.
    """

    def __init__(self, path: Path, *, seconds: float, threads: int):
        if seconds < 0:
            raise ValueError(f"seconds={seconds} must not be negative")
        self.path, self.seconds, self.threads = path, seconds, threads
        self.before = 0.0  # seconds that the run had lasted when it was resumed
        self.started = time.monotonic()

    @property
    def lasted(self) -> float:
        """Seconds of training so far, including those before the run was resumed."""
        return self.before + time.monotonic() - self.started

    def state_dict(self) -> dict[str, Any]:
        return {"lasted": self.lasted, "threads": self.threads}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before = state["lasted"]

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.started = self.saved = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = trainer.global_step != self.step
        self.step = trainer.global_step
        due = time.monotonic() - self.saved >= self.seconds
        if stepped and due and not trainer.is_last_batch:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        with atomic_write(self.path) as draft:
            trainer.save_checkpoint(draft, weights_only=False)
            for logger in trainer.loggers:
                logger.save()
        self.saved = time.monotonic()
