"""A result is computed once for the same values of the columns that it depends on."""

import pandas as pd
import pytest

from scaling.analysis import memo


@pytest.fixture
def counting():
    """A function of rows, and the list of its calls."""
    calls = []

    @memo.once_for_rows("a", "b")
    def total(rows: pd.DataFrame, *, times: float = 1.0) -> float:
        calls.append(times)
        return float((rows["a"] + rows["b"]).sum() * times)

    return total, calls


def test_equal_values_are_computed_once_whatever_the_index_and_other_columns(counting):
    total, calls = counting
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, float("nan")], "c": ["x", "y"]})
    assert total(rows) == total(rows.set_index(pd.Index([7, 8])).assign(c="z")) == 4.0
    assert len(calls) == 1


@pytest.mark.parametrize("change", [{"a": [1.0, 2.1]}, {"b": [3.0, 0.0]}])
def test_other_values_and_options_are_computed_again(counting, change):
    total, calls = counting
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    total(rows)
    assert total(rows.assign(**change)) != total(rows)
    assert total(rows, times=2.0) == 2 * total(rows)
    assert len(calls) == 3


def test_the_order_of_rows_matters(counting):
    total, calls = counting
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    total(rows), total(rows[::-1])
    assert len(calls) == 2


def test_absent_columns_are_left_to_the_function(counting):
    total, _ = counting
    with pytest.raises(KeyError):
        total(pd.DataFrame({"a": [1.0]}))


def test_errors_are_not_remembered():
    tries = []

    @memo.once_for_rows("a")
    def second_time(rows: pd.DataFrame) -> float:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("first")
        return 1.0

    rows = pd.DataFrame({"a": [1.0]})
    with pytest.raises(ValueError, match="first"):
        second_time(rows)
    assert second_time(rows) == 1.0


def test_an_option_at_its_default_is_the_same_as_none_given(counting):
    total, calls = counting
    rows = pd.DataFrame({"a": [1.0], "b": [2.0]})
    assert total(rows) == total(rows, times=1.0)
    assert len(calls) == 1


def test_old_results_are_dropped(counting, monkeypatch):
    monkeypatch.setattr(memo, "KEPT", 2)
    total, calls = counting
    for a in (1.0, 2.0, 3.0, 1.0):
        total(pd.DataFrame({"a": [a], "b": [0.0]}))
    assert len(calls) == 4
    total(pd.DataFrame({"a": [3.0], "b": [0.0]}))
    assert len(calls) == 4
