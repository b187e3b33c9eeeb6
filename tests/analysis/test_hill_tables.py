"""Published tables of Hill's index against exact samples of known laws."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling import report
from scaling.analysis.hill_tables import LAWS, expected_index, hill_drift, is_hill_table, sentences
from scaling.gradients.tail_fits import SHARES, tail_fit

PUBLISHED = Path(__file__).parents[2] / "notebooks" / "data" / "published"
TABLE = PUBLISHED / "phase_1_hill.csv"


def drift(**shares: list[float]) -> pd.DataFrame:
    lines = [
        {"sample": name, "k": k, "alpha": alpha}
        for name, indices in shares.items()
        for k, alpha in zip((0.05, 0.1, 0.2), indices, strict=True)
    ]
    return hill_drift(pd.DataFrame(lines)).set_index("sample")


@pytest.mark.parametrize("law", LAWS)
def test_expected_indices_are_those_of_the_law_s_quantiles(law):
    values = LAWS[law].ppf((np.arange(100_000) + 0.5) / 100_000)
    for share, index in zip(SHARES, tail_fit(values).hill, strict=True):
        assert index == pytest.approx(expected_index(law, share), rel=0.01)


def test_exact_samples_are_nearest_to_their_own_law():
    exact = {law: [expected_index(law, k) for k in (0.05, 0.1, 0.2)] for law in LAWS}
    found = drift(**exact)
    assert found["nearest"].tolist() == list(LAWS)
    moving = found["verdict"].str.contains("is not a tail index")
    assert moving[["gaussian", "laplace"]].all()
    assert not moving[["student_t_3", "cauchy"]].any()


def test_an_index_that_moves_from_5_7_to_3_2_is_no_tail_index():
    lines = sentences(TABLE)
    (line,) = (line for line in lines if line.startswith("transformer all"))
    assert "from 5.7 at the top 5% to 3.2 at the top 20%" in line
    assert "an index that moves with the share is not a tail index" in line
    assert "gaussian 6 to 3.44, laplace 3.81 to 2.35" in line
    assert line.endswith("the nearest is gaussian")  # and not Laplace, as was concluded


def test_the_index_of_one_share_shows_nothing():
    lines = sentences(TABLE)
    (line,) = (line for line in lines if line.startswith("Only at the top 10%: known cauchy 0.995"))
    assert "known laplace 3.064, " in line
    assert line.count("One share cannot show whether an index stays the same") == 1
    assert "so no nearest law is given (exact samples give gaussian 4.72, laplace 3.09," in line
    assert len(lines) == 4, "three samples have several shares"
    single = hill_drift(pd.read_csv(TABLE)).set_index("sample").loc["laplace"]
    assert single["nearest"] == ""
    assert single["verdict"].startswith("3.064 at the top 10%: one share cannot show an index")


def test_the_report_reads_such_a_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(TABLE)])
    assert report.main() == 0
    out = capsys.readouterr().out
    assert "is not a tail index" in out
    assert out.splitlines()[-1].startswith("No page is written: ")
    assert not list(tmp_path.iterdir())


def test_other_tables_are_left_to_the_report_of_runs():
    assert is_hill_table(TABLE)
    assert not is_hill_table(PUBLISHED / "phase_3a.csv")
    assert not is_hill_table(PUBLISHED)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sample": ["a"], "k": [0.1]}, "no column alpha"),
        ({"sample": ["a"], "k": [10.0], "alpha": [3.0]}, "k must be a share of the values"),
        ({"sample": ["a"], "k": [0.1], "alpha": [-3.0]}, "alpha positive"),
        ({"sample": ["a"], "k": [0.1], "alpha": [np.inf]}, "line 1, sample=a, k=0.1, alpha=inf: k"),
        ({"sample": ["a", "b"], "k": [0.1] * 2, "alpha": ["3", "x"]}, "line 2, sample=b, .*=x"),
        ({"sample": ["a", None], "k": [0.1, 0.2], "alpha": [3.0] * 2}, "no value missing"),
        ({"sample": [], "k": [], "alpha": []}, "has no lines"),
    ],
)
def test_tables_without_shares_and_indices_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        hill_drift(pd.DataFrame(table))
