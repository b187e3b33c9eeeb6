"""One bar over all steps of a run."""

import sys
import time
from typing import Any

import lightning as L
from tqdm import tqdm

from scaling.callbacks.optimizer_step import loss_of

IN_A_FILE = 60  # seconds between the states of a bar that no terminal draws over


class Progress(L.Callback):
    """Show steps, speed, time left and the loss; the loss is fetched at most once a second."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        steps = trainer.estimated_stepping_batches
        total = int(steps) if steps != float("inf") else None
        self.bar = tqdm(
            total=total, initial=trainer.global_step, unit="step", dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else IN_A_FILE,
        )  # fmt: skip
        self.fetched = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.bar.update(trainer.global_step - self.bar.n)
        due = time.monotonic() - self.fetched > 1
        if due and (loss := loss_of(trainer, outputs)) is not None:
            self.bar.set_postfix(loss=f"{float(loss):.3f}", refresh=False)
            self.fetched = time.monotonic()

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.bar.close()

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
