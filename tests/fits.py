"""Small fits of a transformer on Python's documentation, with callbacks to watch."""

from functools import partial

import lightning as L
import torch

from scaling.datamodules.text import Text
from scaling.models.learner import Learner
from scaling.models.nano_transformer import NanoTransformer

STEPS = 12
constant = partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0)


def text(microbatches: int = 1) -> Text:
    return Text(
        batch=8, microbatches=microbatches, seed=0, source="pydoc", path=None, vocabulary="ascii",
        context=16, val_share=0.1, val_windows=16,
    )  # fmt: skip


def module(optimizer, dropout: float = 0.0) -> Learner:
    torch.manual_seed(0)
    net = NanoTransformer(
        inputs=128, outputs=128, length=16, d_model=16, layers=2, heads=2, dropout=dropout
    )
    return Learner(net, optimizer=optimizer, schedule=constant, seed=0)


def fit(module, data, folder, callbacks=(), **settings) -> L.Trainer:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = L.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=str(folder),
        **dict.fromkeys(quiet, False) | {"max_steps": STEPS, "max_epochs": -1} | settings,
    )
    trainer.fit(module, data)
    return trainer
