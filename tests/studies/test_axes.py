"""The report of a law over several axes."""

import re
import sys

import numpy as np
import pandas as pd
import planted
import pytest

from scaling import report
from scaling.contracts.settings import by_setting
from scaling.studies import axes, laws
from scaling.studies.study import all_studies
from scaling.studies.sweep_tables import SweepTables

OVER = ("batch", "parameters", "tokens")


@pytest.fixture
def table(tmp_path):
    rows = planted.axes(np.random.default_rng(3), 1)[0]
    rows = rows[rows["tokens"] < rows["tokens"].max()]  # six grids are enough
    named = {"batch": "bs", "val_loss": "smooth loss", "parameters": "N", "tokens": "D"}
    path = tmp_path / "sweeps.csv"
    rows[["lr", *named]].rename(columns=named).assign(note="a").to_csv(path, index=False)
    return path


@pytest.fixture
def few_figures(monkeypatch):
    """Reports with the figures of two studies: the law over its axes, and the law of each grid."""
    for study in all_studies():
        if study not in (axes, laws):
            monkeypatch.setattr(study, "figures", lambda _: {})


COLUMNS = ["--columns", "batch=bs", "val_loss=smooth loss", "parameters=N", "tokens=D"]


@pytest.mark.usefixtures("few_figures")
def test_any_table_gives_a_law_over_its_axes(table, monkeypatch, capsys):
    typed = ["report", str(table), *COLUMNS, "--over", ",".join(OVER)]
    monkeypatch.setattr(sys, "argv", typed)
    assert report.main() == 0
    out, err = capsys.readouterr()
    place = table.with_suffix("") / "report"
    first, second, third, fourth = out.splitlines()[:4]
    assert first.startswith("LR_opt over batch, parameters and tokens: lr = LR_max")
    assert "lr = LR_max 1 / (1 + B_n / batch) with LR_max ~ parameters^-" in first
    assert second.startswith("Predicted from the other grids, the best lr loses ")
    assert "best lr are inside their 95 % prediction interval, allowing for" in third
    assert fourth == "Variation between seeds is not included in this law (seeds: 1)"
    assert err.count("columns that are not used: note") == 1
    exponents = pd.read_csv(place / "exponents.csv")
    assert exponents["of"].tolist() == ["lr", "lr", "turn", "turn"]
    assert (exponents["low"] < exponents["high"]).all()
    grids = pd.read_csv(table).drop_duplicates(["N", "D"])
    assert (
        len(pd.read_csv(place / "held_out.csv")) == len(grids) * pd.read_csv(table)["bs"].nunique()
    )
    for name in ("predicted_lr", "optimal_lr"):
        assert (place / f"{name}.png").stat().st_size > 10_000
    page = (place / "index.html").read_text()
    assert "--columns batch=bs" in page
    assert "predicted_lr" in page
    text = (place / "report.txt").read_text()
    assert "LR_opt against batch (parameters=1e+08, tokens=1e+10): exponent" in text
    for file in place.iterdir():  # without scripts, which have axes of their own
        content = re.sub(rb"<script.*?</script>", b"", file.read_bytes(), flags=re.DOTALL)
        assert b"axis." not in content, file
    assert {"parameters", "tokens"} <= set(pd.read_csv(place / "rows.csv"))


def test_each_grid_is_a_setting_of_its_own(table):
    named = dict(pair.split("=") for pair in COLUMNS[1:])
    with pytest.warns(UserWarning, match="assumed|not used"):
        sweep = SweepTables.of(table, over=OVER, columns=named)
    grids = sweep.rows[["parameters", "tokens"]].drop_duplicates()
    assert len(list(by_setting(sweep.rows))) == len(grids)
    assert axes.applies(sweep)
    with pytest.warns(UserWarning, match="assumed|not used"):
        alone = SweepTables.of(table, columns=named)
    assert not axes.applies(alone)


def test_few_grids_give_the_reason_and_no_tables(table):
    named = dict(pair.split("=") for pair in COLUMNS[1:])
    pd.read_csv(table).query("D == D.min() and N <= 2 * N.min()").to_csv(table, index=False)
    with pytest.warns(UserWarning, match="assumed|not used"):
        sweep = SweepTables.of(table, over=("batch", "parameters"), columns=named)
    assert list(axes.sentences(sweep)) == [
        "LR_opt over batch and parameters: inconclusive; grids with optima: 2; with 1 axis beside "
        "batch, 3 are needed"
    ]
    assert axes.tables(sweep) == axes.figures(sweep) == {}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            [*COLUMNS, "--over", "batch,width"],
            "error: no column width in this table, so it cannot be an axis; if it has another "
            "name there, give it with --columns width=NAME",
        ),
        ([*COLUMNS, "--over", "parameters"], "error: over=parameters must include batch"),
        (["--columns", "batch=bs", "batch=D"], "--columns gives batch to both 'bs' and 'D'"),
    ],
)
def test_what_has_no_axes_is_one_message(table, monkeypatch, capsys, typed, said):
    monkeypatch.setattr(sys, "argv", ["report", str(table), *typed])
    assert report.main() == 2
    assert said in capsys.readouterr().err
