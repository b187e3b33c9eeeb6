"""The table says what the rows say, and what they cannot."""

import dataclasses
import math
import re
import sys

import pytest
from rows import bowl, write_sweep

from scaling import plans, report, results


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep")


def run_report(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return report.main()


def test_batches_go_down_and_learning_rates_across_with_the_best_marked(sweep):
    lines = report.table(results.read(sweep)).splitlines()
    assert lines[2].split() == ["batch", "lr", "0.0001", "lr", "0.001", "lr", "0.01"]
    assert re.fullmatch(r" +8 +3\.000 \( 40 %\) +\*2\.000 \( 40 %\) +3\.000 \( 40 %\)", lines[3])
    assert lines[4].split()[0] == "16"
    assert lines[4].count("*") == 1


def test_what_did_worse_than_letter_frequencies_is_marked(sweep):
    table = report.table(results.read(sweep))
    worse = sum(bowl(batch, lr) > 3 for batch in (8, 16) for lr in (1e-4, 1e-3, 1e-2))
    assert worse == 1
    assert len(re.findall(r"!\d", table)) == worse


def test_what_lies_within_its_standard_error_of_letter_frequencies_is_not_marked(tmp_path):
    measured = {"val_loss": 3.01, "val_loss_se": 0.006, "unigram_loss": 3.0}
    near = write_sweep(tmp_path / "near", measured=measured)
    assert not re.findall(r"!\d", report.table(results.read(near)))
    far = write_sweep(tmp_path / "far", measured=measured | {"val_loss_se": 0.004})
    assert len(re.findall(r"!\d", report.table(results.read(far)))) == 6


@pytest.mark.parametrize(("loss", "said"), [(4.18, True), (4.2, False)])
def test_where_nothing_can_be_learned_no_lr_is_best(tmp_path, loss, said):
    floor = math.log(65)
    measured = {"val_loss": loss, "unigram_loss": floor, "floor_loss": floor}
    notes = report.notes(results.read(write_sweep(tmp_path / "sweep", measured=measured)))
    assert any("Nothing to learn" in note and "4.174" in note for note in notes) is said


def test_a_floor_that_counting_does_not_reach_leaves_something_to_learn(tmp_path):
    measured = {"val_loss": 2.01, "unigram_loss": 3.0, "floor_loss": 2.0}
    notes = report.notes(results.read(write_sweep(tmp_path / "sweep", measured=measured)))
    assert not any("Nothing to learn" in note for note in notes)


def test_seeds_are_averaged_and_a_single_one_is_said_to_be_one(tmp_path):
    one = report.table(results.read(write_sweep(tmp_path / "one")))
    three = report.table(results.read(write_sweep(tmp_path / "three", seeds=(0, 1, 2))))
    assert "One seed" in one
    assert "One seed" not in three
    assert "*2.010" in three


def test_an_optimum_at_the_edge_of_the_grid_is_said_to_be_there(tmp_path):
    cut = write_sweep(tmp_path / "cut", lrs=(1e-5, 1e-4))
    assert "best lr is the largest tried at batch 8, 16" in report.table(results.read(cut))
    assert "smallest" not in report.table(results.read(cut))


def test_a_diverged_rate_is_worse_than_any_and_bounds_the_grid(tmp_path):
    sweep = write_sweep(tmp_path / "x", lrs=(1e-4, 1e-3, 1e-2))
    for file in sweep.glob(f"*lr=0.01*/{results.FILE}"):
        row = results.read_row(file.parent)
        file.unlink()
        results.write(dataclasses.replace(row, status="diverged", measured={}), file.parent)
    table = report.table(results.read(sweep))
    assert "outside the grid" not in table
    assert table.count("*2.0") == 2


def test_a_cell_of_which_one_seed_diverged_is_not_the_best(tmp_path):
    sweep = write_sweep(tmp_path / "x", seeds=(0, 1), lrs=(1e-4, 1e-3))
    for file in sweep.glob(f"*lr=0.001*seed=1*/{results.FILE}"):
        row = results.read_row(file.parent)
        results.write(dataclasses.replace(row, status="diverged", measured={}), file.parent)
    assert "*2.000" not in report.table(results.read(sweep))


def test_other_settings_get_tables_of_their_own(tmp_path):
    both = write_sweep(tmp_path / "both", clips=(1.0, float("inf")))
    table = report.table(results.read(both))
    assert "clip=1:\nbatch" in table.replace("  ", "").replace("clip=1:\n ", "clip=1:\n")
    assert "clip=inf:" in table
    assert table.count("*2.000") == 2


def test_runs_without_a_loss_show_their_status(tmp_path):
    table = report.table(results.read(write_sweep(tmp_path / "x", status="diverged", measured={})))
    assert table.count("diverged") == 6 + 1  # the cells, and the note
    assert "6 of 6 runs diverged" in table


def test_the_command_writes_table_rows_and_two_figures(sweep, monkeypatch, capsys):
    assert run_report(monkeypatch, sweep) == 0
    out = capsys.readouterr().out
    for name in ("table.txt", "rows.csv", "loss_against_lr.png", "clip_frequency.png"):
        file = sweep / "report" / name
        assert file.stat().st_size > 100
        assert f"wrote {file}" in out
    assert "*2.000" in out


def test_a_half_finished_sweep_is_reported_with_what_is_missing(sweep, monkeypatch, capsys):
    (sweep / plans.FOLDER).mkdir()
    cells = [{"run": run, "digest": run} for run in (results.read(sweep)["run"][0], "other")]
    plan = {"schema": 1, "time": "t", "command": "python -m scaling.train -m x=1,2", "cells": cells}
    results.write_json(plan, sweep / plans.FOLDER / "t.json")
    assert run_report(monkeypatch, sweep) == 0
    assert "1 of 2 cells not done: python -m scaling.train -m x=1,2" in capsys.readouterr().out


def test_a_corrupt_row_is_named_and_the_others_reported(sweep, monkeypatch, capsys):
    file = next(sweep.glob(f"*/{results.FILE}"))
    file.write_text("rubbish")
    assert run_report(monkeypatch, sweep) == 0
    said = capsys.readouterr()
    assert f"corrupt row: {file}" in said.err
    assert "1 of 6 runs corrupt" in said.out


def test_a_folder_that_is_no_sweep_is_refused(tmp_path, monkeypatch, capsys):
    assert run_report(monkeypatch, tmp_path / "nothing") == 2
    assert "error: no row.json below" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused(sweep, monkeypatch, capsys):
    (sweep / "report").write_text("a file where the folder should be")
    assert run_report(monkeypatch, sweep) == 2
    assert "error: " in capsys.readouterr().err
