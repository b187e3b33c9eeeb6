"""Every validation of a run, as a table."""

from pathlib import Path
from typing import Any

import lightning as L

from scaling.tables import drop_parts, write_part

MEASURES = ("val", "test", "train_accuracy")


class Evaluations(L.Callback):
    """Record each validation in the table `epochs`, below the trainer's `log_dir`.

    A row holds the epoch that was trained last, the optimizer steps taken so far, and every metric
    that the module logged and whose name begins with `val`, `test` or `train_accuracy`. A second
    validation after the same step says nothing new, and is left out.
    """

    def __init__(self) -> None:
        self.rows, self.step = 0, -1
        self.epoch: int | None = None  # trained last; None before any

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.folder = Path(trainer.log_dir or ".", "epochs")
        drop_parts(self.folder, self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "step": self.step, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.step, self.epoch = state["rows"], state["step"], state["epoch"]

    def on_train_batch_start(
        self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.epoch = trainer.current_epoch  # the trainer's own moves on before a last validation

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or self.epoch is None or trainer.global_step == self.step:
            return
        metrics = {name: [float(value)] for name, value in trainer.logged_metrics.items()}
        validated = {name: metrics[name] for name in metrics if name.startswith(MEASURES)}
        if validated:
            self.step = trainer.global_step
            row: dict[str, Any] = {"epoch": [self.epoch], "step": [self.step], **validated}
            write_part(self.folder, row, first=self.rows)
            self.rows += 1
