"""Small adaptations for tests."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from flows import flows

from scaling.adaptation.evaluation import Evaluation
from scaling.adaptation.module import Adapter
from scaling.adaptation.objective import Objective
from scaling.datamodules.windows import Windows
from scaling.models.tcn import TCN
from scaling.optim import schedules

ENTROPY = {
    "entropy": "mean", "diversity": "normalised", "weight": 0.0, "weight_threshold": None,
    "weight_gain": None, "weight_ceiling": None, "floor": None, "margin": None,
}  # fmt: skip
MAXIMISATION = ENTROPY | {"diversity": "entropy", "weight": 1.0}
STUDY = ENTROPY | {
    "entropy": "class_weighted", "weight": 0.1, "weight_threshold": 0.85, "weight_gain": 0.5,
    "weight_ceiling": 0.3, "floor": 1e-6,
}  # fmt: skip
OBJECTIVES = {"entropy": ENTROPY, "information_maximisation": MAXIMISATION, "study": STUDY}
ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)
SGD = partial(torch.optim.SGD, lr=0.1)


def data(*, query: int = 60, batch: int = 16, growth: int | None = None, **changes: Any) -> Windows:
    """A query and a few other windows."""
    fewer = {"query_windows": query, "heldout_windows": 40, "source_windows": 30} | changes
    return Windows(
        batch=batch, microbatches=1, seed=0, path=None, train_on="query", fold=0, growth=growth,
        growth_passes=3, population=flows(client_windows=100, best_windows=50, **fewer),
    )  # fmt: skip


def net(normalisation: str = "group", dropout: float = 0.5) -> TCN:
    """A network with fixed weights, whose predictions differ."""
    torch.manual_seed(0)
    made = TCN(
        inputs=23, outputs=5, length=30, width=8, layers=2, normalisation=normalisation, groups=2,
        dropout=dropout,
    )  # fmt: skip
    with torch.no_grad():
        made.head.weight.mul_(5)
    return made.eval()


def adapter(
    *, objective: dict[str, Any] = STUDY, normalisation: str = "group", optimizer: Any = ADAMW,
    windows: Windows | None = None, **changes: Any,
) -> Adapter:  # fmt: skip
    settings: dict[str, Any] = {
        "adapt": "all", "statistics": "source", "pull": 0.0, "reset_above": None,
        "lr_rule": "fixed", "lr_reference": 16,
    }  # fmt: skip
    windows = windows or data()
    windows.prepare()
    return Adapter(
        net(normalisation),
        query=windows.query,
        objective=Objective(**objective),
        sizes=windows.batches.size,
        optimizer=optimizer,
        schedule=partial(schedules.constant, steps=1, batch=1),
        **settings | changes,
    )


def fit(
    module: Adapter, windows: Windows, folder: Path, callbacks: Sequence[L.Callback] = (),
    *, before: bool = False, **settings: Any,
) -> L.Trainer:  # fmt: skip
    """Adapt, for two passes by default; with `before`, evaluate before the first pass, too."""
    trainer = L.Trainer(
        **{"max_epochs": 2} | settings, accelerator="cpu", logger=False,
        callbacks=[*callbacks, Evaluation(module, windows)],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    if before:
        trainer.validate(module, datamodule=windows, verbose=False)
    trainer.fit(module, datamodule=windows)
    return trainer


def summary(trainer: L.Trainer) -> dict[str, int | float]:
    """The columns of the trainer's evaluation."""
    (evaluation,) = [part for part in trainer.callbacks if isinstance(part, Evaluation)]
    return evaluation.columns()
