"""A fit does not handle signals of the program that calls it."""

import os
import signal

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.exceptions import SIGTERMException

from scaling.callbacks.signal_handlers import OwnHandlers


class Kill(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_end(self, trainer, module, *_, **__):
        os.kill(os.getpid(), signal.SIGTERM)


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
    fitter = trainer(tmp_path, OwnHandlers(), Kill())
    fitter.fit(BoringModel())
    assert fitter.global_step == 6
    fitter.validate(BoringModel(), verbose=False)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_lightning_alone_would_stop(tmp_path, deaf):
    fitter = trainer(tmp_path, Kill())
    with pytest.raises(SIGTERMException):
        fitter.fit(BoringModel())
    assert fitter.global_step < 6
