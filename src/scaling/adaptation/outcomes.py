"""Which windows a model that adapts gives to their class, one by one."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.trainer.states import TrainerFn

from scaling.storage.tables import drop_parts, write_part

SPLITS = ("query", "val")  # that differ between folds and seeds only: runs on them are paired


class Outcomes(L.Callback):
    """Record at the end of a run, in the table `windows`, which windows were right.

    A line for each window of the query and of the held-out ones: its `split`, its number `window`,
    and whether it was given to its class `before` the first pass and `after` the last. So runs on
    the same windows can be compared window by window, as McNemar's test does.

    The module offers `history.classes` and `classes`, by split what each window was given to before
    and in the last evaluation; the datamodule `right(split, classes)`.
    """

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING or not module.taken:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        parts = []
        for split in (split for split in SPLITS if split in module.history.classes):
            found = (module.history.classes[split], module.classes[split])
            before, after = (data.right(split, classes) for classes in found)
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
