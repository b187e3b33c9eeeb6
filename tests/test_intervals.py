"""The t interval against its formula, another program, and its rate."""

import math

import numpy as np
import pytest
from rates import within
from scipy import stats

from scaling.intervals import t_interval


def test_three_values_by_hand():
    found = t_interval(np.array([1.0, 2.0, 3.0]), level=0.95, fewest=3)
    reach = 4.302652730 / math.sqrt(3)  # t of 2 degrees of freedom; sd 1
    assert (found.low, found.value, found.high) == pytest.approx((2 - reach, 2, 2 + reach))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_the_interval_is_that_of_scipy(level):
    values = np.random.default_rng(0).normal(3, 2, 7)
    found = t_interval(values, level=level, fewest=3)
    ends = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_it_holds_the_truth_at_its_level():
    draws = np.random.default_rng(0).normal(size=(400, 3))
    found = [t_interval(values, level=0.9, fewest=3) for values in draws]
    assert within(sum(one.low <= 0 <= one.high for one in found), 400, 0.9)


def test_too_few_values_have_a_mean_and_no_ends():
    two = np.array([1.0, 3.0])
    found = t_interval(two, level=0.95, fewest=3)
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isfinite(t_interval(two, level=0.95, fewest=2).low)
    assert math.isnan(t_interval(np.array([]), level=0.95, fewest=2).value)
