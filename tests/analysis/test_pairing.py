"""Runs are paired as by a loop over them."""

import math

import numpy as np
import pandas as pd
import pytest
from factorial import sweep

from scaling.analysis.pairing import pairing


def test_each_run_is_at_its_seed_cell_and_level():
    draws = np.random.default_rng(0)
    rows = sweep(lambda _: float(draws.normal()), seeds=(3, 5), clips=(0.1, 1.0, math.inf))
    found = pairing(rows, "clip", "val_loss")
    assert found.levels == [0.1, 1.0, math.inf]
    assert found.shared == ["batch", "lr"]
    assert found.ran.all()
    losses = {(run.seed, run.batch, run.lr, run.clip): run.val_loss for run in rows.itertuples()}
    for s, seed in enumerate((3, 5)):
        for c, cell in enumerate(found.cells.itertuples(index=False, name=None)):
            for i, clip in enumerate(found.levels):
                assert found.values[s, c, i] == losses.pop((seed, *cell, clip))
    assert not losses


def test_a_run_that_diverged_ran_and_has_no_value_and_one_that_failed_did_not_run():
    rows = sweep(lambda cell: float(cell.seed))
    rows.loc[[0, 2], "status"] = ["diverged", "failed"]
    found = pairing(rows, "clip", "val_loss")
    assert (np.isnan(found.values).sum(), (~found.ran).sum()) == (2, 1)
    assert found.notes == ("1 run is left out: not ended, or without val_loss or clip",)


def test_runs_of_one_cell_and_seed_are_averaged():
    rows = sweep(lambda cell: float(cell.seed))
    twice = pd.concat([rows, rows.assign(val_loss=rows["val_loss"] + 1)])
    found = pairing(twice, "clip", "val_loss")
    assert np.unique(found.values).tolist() == [0.5, 1.5, 2.5]
    assert found.notes == ("runs of one cell and seed are averaged, 24 times",)


@pytest.mark.parametrize("key", ["colour", "model", "seed", "val_loss"])
def test_a_key_that_is_not_a_setting_or_does_not_vary_is_refused(key):
    rows = sweep(lambda cell: cell.seed).assign(model="m")
    with pytest.raises(ValueError, match=f"key={key} must .*what varies: batch, lr, clip"):
        pairing(rows, key, "val_loss")


def test_a_column_that_is_missing_is_named():
    rows = sweep(lambda cell: cell.seed)
    with pytest.raises(ValueError, match="must have a column test_loss"):
        pairing(rows, "clip", "test_loss")
    with pytest.raises(ValueError, match="must have a column seed"):
        pairing(rows.drop(columns="seed"), "clip", "val_loss")
