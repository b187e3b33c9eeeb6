"""Every validation of a run, as a table."""

from pathlib import Path
from typing import Any

import lightning as L

from scaling.tables import drop_parts, write_part

MEASURES = ("val", "test", "train_accuracy", "query", "source", "pass", "resets")


class Evaluations(L.Callback):
    """Record each validation in the table `epochs`, below the trainer's `log_dir`.

    A row holds the epoch that was trained last, -1 before any, the optimizer steps taken so far,
    and every metric of the module whose name begins as `MEASURES` do. A second validation after the
    same step says nothing new, and is left out.
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
        self.epoch = trainer.current_epoch  # the trainer's own moves on before a last validation

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.global_step == self.step:
            return
        metrics = {name: [float(value)] for name, value in trainer.callback_metrics.items()}
        validated = {name: metrics[name] for name in metrics if name.startswith(MEASURES)}
        if validated:
            self.step = trainer.global_step
            row: dict[str, Any] = {"epoch": [self.epoch], "step": [self.step], **validated}
            write_part(_folder(trainer), row, first=self.rows)
            self.rows += 1


def _folder(trainer: L.Trainer) -> Path:
    return Path(trainer.log_dir or ".", "epochs")
