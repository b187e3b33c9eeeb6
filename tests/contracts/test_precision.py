"""Numbers that agree in 12 digits are the same, and others stay unchanged."""

import math

import numpy as np
import pandas as pd
import pytest

from scaling.contracts.precision import rounded, rounded_column


@pytest.mark.parametrize("value", [0.1 + 0.2, 0.3, 3 * 0.1, 0.30000000000000004])
def test_sums_that_a_double_cannot_hold_are_rounded_to_what_was_meant(value):
    assert rounded(value) == 0.3


@pytest.mark.parametrize("value", [1e-3, 1e-300, 123456.789012, math.inf, -math.inf, 7, True, "x"])
def test_a_value_of_twelve_digits_or_none_is_unchanged(value):
    got = rounded(value)
    assert got == value
    assert type(got) is type(value)


def test_numbers_that_differ_in_the_twelfth_digit_stay_different():
    assert rounded(0.123456789012) != rounded(0.123456789013)
    assert math.isnan(rounded(math.nan))


def test_nested_values_are_rounded_and_keep_their_shape():
    nested = {"a": [0.1 + 0.2, {"b": 1.1 * 3}], "c": None}
    assert rounded(nested) == {"a": [0.3, {"b": 3.3}], "c": None}


def test_a_column_is_rounded_where_it_holds_floats():
    column = pd.Series([0.1 + 0.2, 0.3, np.nan, np.inf])
    got = rounded_column(column)
    assert got.nunique() == 2
    assert got.isna().tolist() == [False, False, True, False]
    for other in (pd.Series([1, 2]), pd.Series(["0.30000000000000004"]), pd.Series([True])):
        pd.testing.assert_series_equal(rounded_column(other), other)
