"""Whether each window is predicted correctly."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.trainer.states import TrainerFn

from scaling.adaptation.evaluation import Evaluation
from scaling.storage.tables import drop_parts, write_part

SPLITS = ("query", "val")  # the same windows for all runs of a fold and seed, so runs are paired


class Outcomes(L.Callback):
    """Record at the end of a run which windows are predicted correctly, in the table `windows`.

    One line per window of the query and of the held-out windows: its `split`, its number `window`,
    and whether its prediction was correct `before` the first pass and `after` the last. Runs on the
    same windows can then be compared window by window, as in McNemar's test.

    The predictions are those of the trainer's callback `Evaluation`.
    """

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING or not module.taken:
            return
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        (evaluation,) = [part for part in callbacks if isinstance(part, Evaluation)]
        parts = []
        for split in (split for split in SPLITS if split in evaluation.before):
            predicted = (evaluation.before[split], evaluation.now[split])
            before, after = (evaluation.data.right(split, classes) for classes in predicted)
            parts.append(
                pd.DataFrame(
                    {"split": split, "window": np.arange(len(before)), "before": before,
                     "after": after}
                )
            )  # fmt: skip
        if parts:
            folder = Path(trainer.log_dir or ".", "windows")
            drop_parts(folder, 0)
            columns = {str(name): column for name, column in pd.concat(parts).items()}
            write_part(folder, columns, first=0)
