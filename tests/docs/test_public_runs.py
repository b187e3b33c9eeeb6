"""The kept tables of public runs are those that their file gives."""

import documentation
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def public_runs():
    return documentation.module("public_runs")


def test_the_tables_of_public_runs_follow_from_their_file(public_runs, real_data):
    file = real_data / "steplaw" / "dense.csv"
    if not file.exists():
        pytest.skip("steplaw is not in SCALING_DATA")
    made = public_runs.tables(public_runs.read(file))
    assert set(made) == {path.stem for path in public_runs.PLACE.glob("*.csv")}
    for name, table in made.items():
        kept = pd.read_csv(public_runs.PLACE / f"{name}.csv")
        pd.testing.assert_frame_equal(table, kept, rtol=0.01, atol=2e-5, check_dtype=False)


def test_the_sentences_of_the_page_are_those_of_the_tables():
    page = (documentation.DOCS / "results" / "public_runs.md").read_text()
    kept = pd.read_csv(documentation.DOCS / "results" / "public_runs" / "held_out.csv")
    lost = kept.set_index(["law", "batch sizes"])["loss_lost"]
    assert f"costs {lost['published', 'far below']:.3f} nats" in page
    assert f"the saturating law costs {lost['saturating', 'far below']:.4f}" in page
    assert lost["saturating", "all"] == lost.unstack()["all"].min()
