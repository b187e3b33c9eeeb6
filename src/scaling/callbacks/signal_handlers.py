"""Keep the signal handlers of the program during a fit, and stop at a signal that was lost."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import lightning as L

NUMBERS = (signal.SIGTERM, signal.SIGUSR1)  # those that Lightning handles


class OwnHandlers(L.Callback):
    """Keep the signal handlers from before the fit.

    Lightning adds a handler that stops the fit at the end of a batch, even if the program ignores
    the signal.

    Args:
        raise_dropped: called before each batch; raises for a signal whose exception was lost.
    """

    def __init__(self, raise_dropped: Callable[[], None]):
        self.raise_dropped = raise_dropped

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.handlers = {number: signal.getsignal(number) for number in NUMBERS}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.raise_dropped()

    def on_validation_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self.raise_dropped()

    def _restore(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Lightning does not set them there, either
        for number, handler in self.handlers.items():
            if handler is not None:
                signal.signal(number, handler)
