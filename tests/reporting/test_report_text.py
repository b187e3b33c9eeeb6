"""The table shows the rows and the limits of what they support."""

import dataclasses
import re

import pytest
from rows import bowl, write_sweep

from scaling import results
from scaling.reporting import text
from scaling.storage.rows import ROW_FILE, read_row, write_row


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep")


def test_batches_go_down_and_learning_rates_across_with_the_best_marked(sweep):
    lines = text.summary_table(results.read(sweep)).splitlines()
    assert lines[2].split() == ["batch", "lr", "0.0001", "lr", "0.001", "lr", "0.01"]
    assert re.fullmatch(r" +8 +3\.000 \( 40 %\) +\*2\.000 \( 40 %\) +3\.000 \( 40 %\)", lines[3])
    assert lines[4].split()[0] == "16"
    assert lines[4].count("*") == 1


def test_losses_above_the_unigram_loss_are_marked(sweep):
    table = text.summary_table(results.read(sweep))
    worse = sum(bowl(batch, lr) > 3 for batch in (8, 16) for lr in (1e-4, 1e-3, 1e-2))
    assert worse == 1
    assert len(re.findall(r"!\d", table)) == worse


def test_losses_within_their_standard_error_of_the_unigram_loss_are_not_marked(tmp_path):
    measured = {"val_loss": 3.01, "val_loss_se": 0.006, "unigram_loss": 3.0}
    near = write_sweep(tmp_path / "near", measured=measured)
    assert not re.findall(r"!\d", text.summary_table(results.read(near)))
    far = write_sweep(tmp_path / "far", measured=measured | {"val_loss_se": 0.004})
    assert len(re.findall(r"!\d", text.summary_table(results.read(far)))) == 6


def test_seeds_are_averaged_and_a_single_seed_is_reported(tmp_path):
    one = text.summary_table(results.read(write_sweep(tmp_path / "one")))
    three = text.summary_table(results.read(write_sweep(tmp_path / "three", seeds=(0, 1, 2))))
    assert "One seed" in one
    assert "One seed" not in three
    assert "*2.010" in three


def test_a_diverged_rate_is_worse_than_any_and_bounds_the_grid(tmp_path):
    sweep = write_sweep(tmp_path / "x", lrs=(1e-4, 1e-3, 1e-2))
    for file in sweep.glob(f"*lr=0.01*/{ROW_FILE}"):
        row = read_row(file.parent)
        file.unlink()
        write_row(dataclasses.replace(row, status="diverged", measured={}), file.parent)
    table = text.summary_table(results.read(sweep))
    assert "outside the grid" not in table
    assert table.count("*2.0") == 2


def test_a_cell_with_a_diverged_seed_is_not_the_best(tmp_path):
    sweep = write_sweep(tmp_path / "x", seeds=(0, 1), lrs=(1e-4, 1e-3))
    for file in sweep.glob(f"*lr=0.001*seed=1*/{ROW_FILE}"):
        row = read_row(file.parent)
        write_row(dataclasses.replace(row, status="diverged", measured={}), file.parent)
    assert "*2.000" not in text.summary_table(results.read(sweep))


def test_other_settings_get_tables_of_their_own(tmp_path):
    both = write_sweep(tmp_path / "both", clips=(1.0, float("inf")))
    table = text.summary_table(results.read(both))
    assert "clip=1:\nbatch" in table.replace("  ", "").replace("clip=1:\n ", "clip=1:\n")
    assert "clip=inf:" in table
    assert table.count("*2.000") == 2


def test_runs_without_a_loss_show_their_status(tmp_path):
    table = text.summary_table(
        results.read(write_sweep(tmp_path / "x", status="diverged", measured={}))
    )
    assert table.count("diverged") == 6 + 2  # the cells, their optima, and all runs
    assert "6 of 6 runs diverged" in table


def test_if_only_clips_vary_they_are_across(tmp_path):
    rows = results.read(write_sweep(tmp_path / "x", lrs=(1e-3,), clips=(0.5, float("inf"))))
    lines = text.summary_table(rows).splitlines()
    assert lines[2].split() == ["batch", "lr", "clip", "0.5", "clip", "inf"]
    assert lines[3].split()[:3] == ["8", "0.001", "*2.000"]
