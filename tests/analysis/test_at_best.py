"""Which runs represent a setting: those at the best learning rate tried."""

import numpy as np
import pandas as pd

from scaling.analysis.at_best import at_best


def rows(**columns) -> pd.DataFrame:
    some = {"status": "done", "model": "mlp", "data": "digits", "optimizer": "adam", "clip": np.inf,
            "protocol": "steps", "duration": 5, "batch": 32, "lr": 1e-3, "seed": 0,
            "val_loss": 1.0}  # fmt: skip
    return pd.DataFrame(some | columns)


def test_each_batch_size_and_setting_has_its_own_best():
    table = rows(
        optimizer=["adam"] * 6 + ["sgd"] * 2,
        batch=[32, 32, 32, 64, 64, 64, 32, 32],
        lr=[1e-3, 1e-2, 1e-1, 1e-3, 1e-2, 1e-1, 1e-2, 1e-1],
        val_loss=[3.0, 1.0, 2.0, 3.0, 2.0, 1.0, 1.0, 2.0],
    )
    assert list(at_best(table).index) == [1, 5, 6]


def test_a_single_learning_rate_needs_no_loss():
    table = rows(lr=[1e-3, 1e-3], seed=[0, 1]).drop(columns="val_loss")
    assert at_best(table).equals(table)


def test_damaged_rows_are_ignored():
    assert at_best(rows(status=["corrupt"])).empty
