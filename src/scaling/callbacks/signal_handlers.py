"""Restore the signal handlers that Lightning replaces."""

import signal
import threading

import lightning as L

NUMBERS = (signal.SIGTERM, signal.SIGUSR1)  # those that Lightning handles


class OwnHandlers(L.Callback):
    """Keep the signal handlers from before the fit.

    Lightning adds a handler that stops the fit at the end of a batch, even if the program ignores
    the signal.
    """

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.handlers = {number: signal.getsignal(number) for number in NUMBERS}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def _restore(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Lightning does not set them there, either
        for number, handler in self.handlers.items():
            if handler is not None:
                signal.signal(number, handler)
