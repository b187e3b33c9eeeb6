"""Record every validation of a run in a table."""

import math
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from scaling.storage.tables import drop_parts, read_parts, write_part

MEASURES = ("val", "test", "train_accuracy", "query", "source", "pass", "resets")


class Evaluations(L.Callback):
    """Record each validation in the table `epochs`, below the trainer's `log_dir`.

    A row holds the epoch that was trained last (-1 before the first), the optimizer steps taken so
    far, and every metric of the module whose name starts with one of `MEASURES`. A second
    validation after the same step is skipped during training; at the end of a run it replaces the
    metrics that it measures again, because the module may have reset its weights.
    """

    def __init__(self) -> None:
        self.rows, self.step, self.epoch = 0, -1, -1

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        drop_parts(_folder(trainer), self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "step": self.step, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.step, self.epoch = state["rows"], state["step"], state["epoch"]

    def on_train_batch_start(
        self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.epoch = trainer.current_epoch  # the trainer's is one higher in the last validation

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        again = trainer.global_step == self.step
        if trainer.sanity_checking or (again and trainer.state.fn == TrainerFn.FITTING):
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        measured = {name: metrics[name] for name in metrics if name.startswith(MEASURES)}
        if not measured:
            return
        self.rows -= again
        self.step = trainer.global_step
        place = {"epoch": self.epoch, "step": self.step}
        before: dict[Any, Any] = {}
        if again:
            before = read_parts(_folder(trainer)).iloc[self.rows].to_dict()
            measured = {name: value for name, value in measured.items() if not math.isnan(value)}
        row = {name: [value] for name, value in (place | before | measured | place).items()}
        write_part(_folder(trainer), row, first=self.rows)
        self.rows += 1


def _folder(trainer: L.Trainer) -> Path:
    return Path(trainer.log_dir or ".", "epochs")
