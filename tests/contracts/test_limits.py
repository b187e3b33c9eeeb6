"""Checks that many classes share."""

import pytest

from scaling.contracts.limits import check_choice, check_least


def test_the_first_value_below_the_minimum_is_named():
    check_least(1, width=1, depth=2)
    with pytest.raises(ValueError, match="^depth=0 must be at least 1$"):
        check_least(1, width=1, depth=0, heads=-1)


def test_a_value_that_is_not_a_choice_is_named_with_the_choices():
    check_choice({"he": 1, "xavier": 2}, init="he")
    with pytest.raises(ValueError, match="^init=lecun must be one of he, xavier$"):
        check_choice({"he": 1, "xavier": 2}, init="lecun")
