"""Batch sizes compared on the same windows, with planted counts."""

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.significance import mcnemar
from scaling.studies.adaptation.window_tables import window_by_window

RUNS = [("16", 0, "r0"), ("16", 1, "r1"), ("32", 0, "r2"), ("32", 1, "r3")]


def tables(right: dict[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two queries of 100 windows under two batch sizes; `right` gives the correct ones of a run."""
    block = pd.DataFrame(
        {"study": "s", "run": [run for *_, run in RUNS], "arm": [arm for arm, *_ in RUNS],
         "unit": [f"fold {fold}" for _, fold, _ in RUNS], "grows": False,
         "batch": [int(arm) for arm, *_ in RUNS]}
    )  # fmt: skip
    windows = [
        pd.DataFrame({"study": "s", "run": run, "split": "query", "window": range(100),
                      "before": True, "after": after})
        for run, after in right.items()
    ]  # fmt: skip
    return block, pd.concat(windows, ignore_index=True)


def first(count: int) -> np.ndarray:
    return np.arange(100) < count


def test_windows_are_counted_query_by_query():
    block, windows = tables({"r0": first(90), "r1": first(50), "r2": first(60), "r3": ~first(50)})
    (line,) = window_by_window(block, windows, "32").to_dict("records")
    assert (line["arm"], line["against"], line["queries"]) == ("16", "32", 2)
    assert (line["won"], line["lost"]) == ((30 + 50) / 2, (0 + 50) / 2)
    assert line["mcnemar_p_median"] == pytest.approx((mcnemar(30, 0) + mcnemar(50, 50)) / 2)
    assert line["differ"] == 1


def test_runs_with_the_same_correct_windows_do_not_differ():
    same = dict.fromkeys(("r0", "r1", "r2", "r3"), first(70))
    (line,) = window_by_window(*tables(same), "32").to_dict("records")
    assert (line["won"], line["lost"], line["mcnemar_p_median"], line["differ"]) == (0, 0, 1, 0)


def test_without_windows_there_is_no_table():
    block, windows = tables(dict.fromkeys(("r0", "r1", "r2", "r3"), first(70)))
    assert window_by_window(block, windows.iloc[:0], "32").empty
    assert window_by_window(block[block["arm"] == "16"], windows, "32").empty
