"""A fit leaves signals to the program that calls it, and stops at one that was lost."""

import contextlib
import os
import signal

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.exceptions import SIGTERMException

from scaling.callbacks.signal_handlers import OwnHandlers
from scaling.runs import signals
from scaling.runs.signals import Interrupted


class Kill(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_end(self, trainer, module, *_, **__):
        os.kill(os.getpid(), signal.SIGTERM)


class Careless(L.Callback):
    """Catches everything, as some libraries do."""

    def __init__(self, stage: str):
        self.stage = stage

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.drop("train", batch_idx)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, **_):
        self.drop("validation", batch_idx)

    def drop(self, stage: str, batch_idx: int) -> None:
        if (stage, batch_idx) == (self.stage, 0):
            with contextlib.suppress(BaseException):
                signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def listening():
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    signals.listen()
    yield
    signals.listen()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("stage", ["train", "validation"])
def test_a_signal_whose_exception_is_lost_stops_at_the_next_batch(tmp_path, listening, stage):
    fitter = trainer(tmp_path, OwnHandlers(signals.raise_dropped), Careless(stage))
    begin = fitter.fit if stage == "train" else fitter.validate
    with pytest.raises(Interrupted):
        begin(BoringModel())
    assert fitter.global_step == (stage == "train")


@pytest.fixture
def deaf():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def trainer(folder, *callbacks) -> L.Trainer:
    return L.Trainer(
        max_steps=6, callbacks=list(callbacks), logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, num_sanity_val_steps=0, limit_val_batches=2,
    )  # fmt: skip


def test_a_program_that_ignores_sigterm_continues_training(tmp_path, deaf):
    fitter = trainer(tmp_path, OwnHandlers(lambda: None), Kill())
    fitter.fit(BoringModel())
    assert fitter.global_step == 6
    fitter.validate(BoringModel(), verbose=False)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_lightning_alone_would_stop(tmp_path, deaf):
    fitter = trainer(tmp_path, Kill())
    with pytest.raises(SIGTERMException):
        fitter.fit(BoringModel())
    assert fitter.global_step < 6
