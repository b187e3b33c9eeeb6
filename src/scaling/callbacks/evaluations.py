"""Every validation of a run, as a table."""

from pathlib import Path
from typing import Any

import lightning as L

from scaling.tables import Recorder


class Evaluations(L.Callback):
    """Record each validation in the table `epochs`, below the trainer's `log_dir`.

    A row holds the epoch that was trained last, the optimizer steps taken so far, and every metric
    that the module logged in its validation, under its own name. A second validation after the
    same step says nothing new, and is left out.
    """

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.resumed = 0  # rows of the table that a checkpoint knows

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        folder = Path(trainer.log_dir or ".", "epochs")
        self.recorder = Recorder(folder, rows_per_part=1, keep=self.resumed)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.recorder.rows if self.recorder is not None else self.resumed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state["rows"]

    def on_train_batch_start(
        self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.epoch = trainer.current_epoch  # the trainer's own moves on before a last validation

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or self.recorder is None:
            return
        step = trainer.global_step
        if step in self.recorder.columns.get("step", []):
            return
        metrics = {name: [float(value)] for name, value in trainer.logged_metrics.items()}
        validated = {name: value for name, value in metrics.items() if name.startswith("val")}
        if validated:
            self.recorder.extend({"epoch": [self.epoch], "step": [step], **validated})
