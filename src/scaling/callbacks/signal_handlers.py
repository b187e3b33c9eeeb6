"""Keep the signal handlers that were there before Lightning's."""

import signal
import threading

import lightning as L

NUMBERS = (signal.SIGTERM, signal.SIGUSR1)  # those that Lightning handles


class OwnHandlers(L.Callback):
    """Keep the signal handlers from before the fit.

    Lightning adds to each handler one that stops the fit at the end of a batch, also where the
    program around it chose to ignore the signal.
    """

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.handlers = {number: signal.getsignal(number) for number in NUMBERS}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def _restore(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # where Lightning leaves them alone too
        for number, handler in self.handlers.items():
            if handler is not None:
                signal.signal(number, handler)
