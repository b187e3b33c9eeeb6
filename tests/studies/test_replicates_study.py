"""Runs of one algorithm are listed, with the differences between them."""

from pathlib import Path

import pandas as pd
import pytest

from scaling import results
from scaling.studies import replicates
from scaling.studies.sweep_tables import SweepTables

KEPT = Path(__file__).parents[2] / "notebooks" / "data"


def test_a_clip_that_is_never_reached_equals_no_clipping_to_the_last_digit():
    sweep = SweepTables(results.read(KEPT / "phase_3b.csv"))
    assert list(replicates.sentences(sweep)) == [
        "Replicates: 2 groups of runs of one algorithm agree to the last digit"
    ]
    assert list(replicates.tables(sweep)["replicates"]["spread"]) == [0, 0]


def test_one_grid_in_two_folders_shows_its_noise(tmp_path):
    rows = results.read(KEPT / "quickstart.csv")
    other = rows.assign(study="again", val_loss=rows["val_loss"] + 0.01)
    both = SweepTables(pd.concat([rows, other], ignore_index=True))
    assert replicates.applies(both)
    *groups, reach = replicates.sentences(both)
    assert len(groups) == replicates.SHOWN
    assert all("0.0100 apart, which is noise" in line for line in groups)
    sd = 0.01 / 2**0.5
    assert f"differ by up to {sd * 2**0.5 * 1.9921:.3f} nats (95 %, 75 degrees" in reach


def test_the_published_pairs_are_found():
    with pytest.warns(UserWarning, match="has missing columns"):
        rows = results.read(
            KEPT / "published" / "phase_3a.csv", KEPT / "published" / "phase_3b.csv"
        )
    said = "\n".join(replicates.sentences(SweepTables(rows)))
    assert "3.6625 and 3.6934, 0.0309 apart" in said
    assert "by up to 0.282 (95 %" in said  # more than no clipping minus clip 1, which is 0.034


def test_the_study_does_not_apply_to_a_sweep_without_replicates():
    assert not replicates.applies(SweepTables(results.read(KEPT / "phase_2.csv")))


def test_runs_that_only_look_like_replicates_are_left_out_and_reported():
    rows = results.read(KEPT / "quickstart.csv")
    other = rows.assign(study="again", digest="other " + rows["digest"])
    sweep = SweepTables(pd.concat([rows, other], ignore_index=True))
    assert replicates.applies(sweep)
    said = list(replicates.sentences(sweep))
    assert len(said) == len(rows)
    assert all(line.endswith("2 similar runs differ in digest and are left out") for line in said)
    assert replicates.tables(sweep) == {}
