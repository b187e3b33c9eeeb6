"""Caveats of a sweep are reported, and only those that apply."""

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest
from rows import write_sweep

from scaling import results
from scaling.reporting import caveats
from scaling.storage.rows import ROW_FILE, read_row, write_row

KEPT = Path(__file__).parents[2] / "notebooks" / "data"


def told(folder: Path) -> str:
    return "\n".join(caveats.sweep_caveats(results.read(folder)))


def change(folder: Path, which: str, **columns) -> None:
    for file in folder.glob(f"{which}/{ROW_FILE}"):
        row = read_row(file.parent)
        write_row(dataclasses.replace(row, **columns), file.parent)


@pytest.mark.parametrize(("loss", "said"), [(4.18, True), (4.2, False)])
def test_if_nothing_can_be_learned_no_lr_is_best(tmp_path, loss, said):
    floor = math.log(65)
    measured = {"val_loss": loss, "unigram_loss": floor, "floor_loss": floor}
    notes = caveats.sweep_caveats(results.read(write_sweep(tmp_path / "sweep", measured=measured)))
    assert any("Nothing to learn" in note and "4.174" in note for note in notes) is said


def test_a_floor_below_the_ngram_losses_leaves_something_to_learn(tmp_path):
    measured = {"val_loss": 2.01, "unigram_loss": 3.0, "floor_loss": 2.0}
    notes = caveats.sweep_caveats(results.read(write_sweep(tmp_path / "sweep", measured=measured)))
    assert not any("Nothing to learn" in note for note in notes)


@pytest.mark.parametrize(
    ("lrs", "said"),
    [
        ((1e-6, 1e-5, 1e-4), "above 0.0001, the highest tried"),
        ((1e-2, 1e-1, 1.0), "below 0.01, the lowest tried"),
    ],
)
def test_an_optimum_that_may_lie_beyond_the_grid_is_censored(tmp_path, lrs, said):
    folder = write_sweep(tmp_path / "cut", lrs=lrs, seeds=(0, 1, 2))
    assert f"Censored, batch 8, 16: the best lr may lie {said}" in told(folder)


def test_an_optimum_inside_the_grid_is_not(tmp_path):
    assert "Censored" not in told(write_sweep(tmp_path / "in", seeds=(0, 1, 2)))


def test_two_learning_rates_are_too_few_and_one_is_not_called_unresolved(tmp_path):
    two = told(write_sweep(tmp_path / "two", lrs=(1e-4, 1e-3)))
    assert "Unresolved, batch 8, 16: losses at 2 learning rates; a bowl needs 3" in two
    assert "Unresolved" not in told(write_sweep(tmp_path / "one", lrs=(1e-3,)))


def test_losses_that_differ_by_a_negligible_amount_are_flat():
    said = "\n".join(caveats.sweep_caveats(results.read(KEPT / "phase_2.csv")))
    assert (
        "Flat, batch 8, 16, 32, 64, 128, 256, 512: within a factor of 4 in lr of the best, the "
        "loss rises by at most 0.0036, which is below 0.0042" in said
    )


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (3.4, "The best loss, 3.400, is worse than a unigram model (3.000): too few steps"),
        (2.7, "The best loss, 2.700, is worse than a bigram model (2.500)"),
        (2.4, None),
    ],
)
def test_the_first_ngram_that_no_run_beats_is_named(tmp_path, loss, said):
    measured = {"val_loss": loss, "uniform_loss": 4.0, "unigram_loss": 3.0, "bigram_loss": 2.5}
    found = told(write_sweep(tmp_path / "s", measured=measured))
    assert said in found if said else "is worse than" not in found


def test_a_loss_below_what_any_model_can_reach_is_suspect(tmp_path):
    measured = {"val_loss": 1.5, "unigram_loss": 3.0, "floor_loss": 2.0}
    assert "Below the floor: 1.500" in told(write_sweep(tmp_path / "s", measured=measured))


def test_protocols_models_and_data_that_are_mixed_are_named(tmp_path):
    folder = write_sweep(tmp_path / "s")
    assert "mixed" not in told(folder)
    change(folder, "batch=8*", protocol="examples", data="other")
    found = told(folder)
    assert "Several values of protocol are mixed (examples, steps)" in found
    assert "Several values of data are mixed (d, other)" in found
    assert "Several values of model" not in found


def test_seeds_that_some_cells_lack_are_counted(tmp_path):
    folder = write_sweep(tmp_path / "s", seeds=(0, 1, 2))
    assert "Seeds are missing" not in told(folder)
    change(folder, "batch=8,lr=0.001,*seed=2", status="failed", error="x", measured={})
    assert "Seeds are missing in 1 of 6 cells" in told(folder)


def test_damaged_rows_are_counted_and_belong_to_no_setting(tmp_path):
    folder = write_sweep(tmp_path / "s", seeds=(0, 1))
    next(folder.glob(f"*/{ROW_FILE}")).write_text("rubbish")
    with pytest.warns(UserWarning, match="corrupt row"):
        rows = results.read(folder)
    assert "1 of 12 runs corrupt" in caveats.sweep_caveats(rows)


def test_every_table_of_the_examples_has_a_caveat():
    for path in KEPT.glob("*.csv"):
        assert any(
            line.startswith("Reachable") for line in caveats.sweep_caveats(results.read(path))
        )


def test_a_table_without_any_reference_has_no_caveat():
    rows = pd.DataFrame(
        {"batch": 8, "lr": [1e-3, 1e-2], "clip": 1.0, "seed": [0, 1], "val_loss": 1.0,
         "status": "done", "protocol": None, "duration": math.nan, "model": None, "data": None,
         "optimizer": None}
    )  # fmt: skip
    assert not any("Reachable" in line for line in caveats.sweep_caveats(rows))


def test_effects_of_keys_that_were_not_varied_are_reported_as_unknown(tmp_path):
    one = told(write_sweep(tmp_path / "one", lrs=(1e-3,)))
    assert "One learning rate at each batch size" in one
    assert "One batch size" not in one
    rows = results.read(write_sweep(tmp_path / "grid"))
    assert not any(line.startswith("One learning") for line in caveats.sweep_caveats(rows))
    (line,) = (
        line for line in caveats.sweep_caveats(rows[rows["batch"] == 8]) if "One batch size" in line
    )
    assert line.endswith("no law of the batch size can be fitted")


def test_runs_that_no_column_distinguishes_are_reported_to_differ(tmp_path):
    rows = results.read(write_sweep(tmp_path / "s", clips=(0.5, 1.0), seeds=(0, 1)))
    assert not any("more than once" in line for line in caveats.sweep_caveats(rows))
    same = rows.assign(clip=1.0)  # as in a table without this column
    assert not any("more than once" in line for line in caveats.sweep_caveats(same))
    same.loc[rows["clip"] == 0.5, "val_loss"] += 0.25
    (line,) = (line for line in caveats.sweep_caveats(same) if "more than once" in line)
    assert line.startswith("12 cells were run more than once with one seed: losses differ")
    assert "0.2500 nats" in line
