"""The next command follows from what a sweep leaves open."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting.test_answer import planted

from scaling import results
from scaling.reporting.answer import settings_of
from scaling.reporting.next_step import Command, next_step
from scaling.storage.owners import Owner
from scaling.storage.plans import Lack
from scaling.studies.sweep_tables import SweepTables

COMMAND = Command("python -m scaling.train -m study=s batch=8,16,32 lr=1e-4,1e-3 seed=0,1,2")


def step(rows: pd.DataFrame, lacking=(), command=COMMAND):
    return next_step(rows, settings_of(SweepTables(rows)), lacking, command)


def given(command: str) -> dict[str, list[float]]:
    """The values of the keys of a command that are lists of numbers."""
    pairs = (word.split("=", 1) for word in shlex.split(command) if "=" in word)
    return {k: [float(x) for x in v.split(",")] for k, v in pairs if k in ("batch", "lr", "seed")}


def test_missing_cells_come_first():
    found = step(planted(seeds=1), [Lack("python -m scaling.train -m x=1,2", 3, 7)])
    assert found.command == "python -m scaling.train -m x=1,2"
    assert "3 of 7 cells not done" in found.why


def test_cells_of_a_live_sweep_are_waited_for():
    owner = Owner(host="node7", pid=42, since=0.0)
    found = step(planted(seeds=1), [Lack("python -m scaling.train -m x=1,2", 3, 7, owner)])
    assert found.command == ""
    assert found.why.startswith("3 of 7 cells are still being trained by pid 42 on node7 since 19")


def test_a_best_lr_at_the_end_of_the_grid_asks_for_larger_ones():
    rows = planted(batches=(8, 16, 4096, 8192), exponent=0.6)
    found = step(rows)
    assert "may lie above the grid" in found.why
    keys = given(found.command)
    assert keys["batch"] == [4096, 8192]
    assert min(keys["lr"]) > rows["lr"].max()
    assert keys["seed"] == [0, 1, 2]
    assert "study=s" in found.command


def test_a_best_lr_at_the_lowest_one_asks_for_smaller_ones():
    rows = planted(batches=(8, 16, 32), exponent=-2.0)
    found = step(rows)
    assert "below the grid" in found.why
    assert max(given(found.command)["lr"]) < rows["lr"].min()


def test_each_end_is_that_of_the_learning_rates_of_its_own_batch_sizes():
    """Batch 16 was tried up to 1e-3 only, and the others up to 0.1."""
    rows = planted(batches=(16, 32, 64))
    rows = rows[(rows["batch"] > 16) | (rows["lr"] <= 1.01e-3)]
    found = step(rows)
    keys = given(found.command)
    assert keys["batch"] == [16]
    assert 1e-3 < min(keys["lr"]) < 3e-3


@pytest.mark.parametrize(("seeds", "more"), [(1, [1, 2]), (2, [2])])
def test_fewer_than_three_seeds_ask_for_as_many_as_are_missing(seeds, more):
    found = step(planted(seeds=seeds))
    assert given(found.command)["seed"] == more
    assert "would show the variation between seeds" in found.why


def test_two_batch_sizes_ask_for_larger_ones():
    found = step(planted(batches=(8, 16)))
    assert given(found.command)["batch"] == [32, 64]
    assert "a law needs 3 batch sizes" in found.why


def test_a_wide_interval_asks_for_seeds_and_a_narrow_one_for_a_test():
    wide = step(planted(noise=0.35))
    assert min(given(wide.command)["seed"]) == 3
    narrow = step(planted())
    keys = given(narrow.command)
    assert keys["batch"] == [256]
    assert np.median(keys["lr"]) == pytest.approx(1e-3 * 256**0.4, rel=0.1)
    assert max(keys["lr"]) / min(keys["lr"]) > 10  # both sides of the bowl


def test_batch_sizes_are_asked_for_if_more_seeds_would_not_narrow_the_interval():
    rows = results.read(Path(__file__).parents[2] / "notebooks" / "data" / "quickstart.csv")
    found = step(rows)
    assert found.why.endswith("; more seeds would not")
    assert given(found.command)["batch"] == [256, 512]
    assert "more seeds" not in step(planted(noise=0.6)).why  # seeds would, and are too many


def test_one_lr_for_each_batch_size_asks_for_more_of_them():
    rows = planted(batches=(32, 64, 128))
    rows = rows[np.isclose(rows["lr"], 1e-3 * rows["batch"] / 32, rtol=0.3)]
    assert rows.groupby("batch")["lr"].nunique().max() == 1
    assert "three learning rates" in step(rows).why


def test_flat_optima_and_a_law_over_several_axes_have_no_next_step():
    flat = planted().assign(val_loss=lambda r: 2 + 1e-6 * np.arange(len(r)) % 7)
    assert {one.status for one in settings_of(SweepTables(flat))[0].optima} == {"flat"}
    assert step(flat).why == ""
    assert next_step(planted(), (), (), COMMAND).why == ""


def test_after_several_commands_all_keys_are_written_out():
    found = step(planted(seeds=1), command=Command(COMMAND.text, whole=False))
    keys = given(found.command)
    assert keys["batch"] == [8, 16, 32, 64, 128]
    assert len(keys["lr"]) == 10
    assert keys["seed"] == [1, 2]


def test_large_whole_numbers_are_typed_whole():
    rows = planted(seeds=1, batches=(524288, 1048576, 2097152), exponent=0.0)
    found = step(rows.assign(seed=20240101), command=Command(COMMAND.text, whole=False))
    assert "seed=20240102,20240103" in found.command
    assert "batch=524288,1048576,2097152" in found.command


def test_without_a_known_command_the_step_is_in_words():
    found = step(planted(seeds=1), command=Command())
    assert found.command == ""
    assert "2 more seeds" in found.why


@pytest.mark.parametrize(
    ("status", "words"),
    [("diverged", "learning rates below 0.0001"), ("failed", "no run finished: out of memory")],
)
def test_without_a_finished_run_the_reason_is_given(status, words):
    rows = planted().assign(status=status, error="out of memory\ntraceback")
    assert words in step(rows).why


def test_a_finished_question_has_no_next_step():
    rows = planted()
    rows = rows[rows["lr"] == rows["lr"].min()]
    assert step(rows).why == ""
