"""Intervals against their formulas, other programs, slow references, and their rates."""

import math

import numpy as np
import pytest
from rates import within
from scipy import stats

from scaling.analysis.intervals import (
    check_level,
    slopes,
    t_interval,
    weighted_t_interval,
    wilson_interval,
)


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


def test_it_covers_the_truth_at_its_level():
    draws = np.random.default_rng(0).normal(size=(400, 3))
    found = [t_interval(values, level=0.9, fewest=3) for values in draws]
    assert within(sum(one.low <= 0 <= one.high for one in found), 400, 0.9)


def test_too_few_values_have_a_mean_and_no_interval():
    two = np.array([1.0, 3.0])
    found = t_interval(two, level=0.95, fewest=3)
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isfinite(t_interval(two, level=0.95, fewest=2).low)
    assert math.isnan(t_interval(np.array([]), level=0.95, fewest=2).value)


def slow_cr2(values: np.ndarray, weights: np.ndarray, level: float) -> tuple[float, float]:
    """CR2 and its Satterthwaite degrees of freedom by matrices: weighted least squares on a 1."""
    n, one, w = len(values), np.ones((len(values), 1)), np.diag(weights)
    bread = np.linalg.inv(one.T @ w @ one)
    left = np.eye(n) - one @ bread @ one.T @ w
    covariance = left @ np.linalg.inv(w) @ left.T  # of residuals, if the weights are right
    adjusted = np.diag(1 / np.sqrt(np.diag(covariance) * weights))
    rows = (bread @ one.T @ w @ adjusted).ravel()  # what each residual adds to the estimate
    residuals = left @ values
    error = math.sqrt(((rows * residuals) ** 2).sum())
    form = np.diag(rows**2) @ covariance
    freedom = np.trace(form) ** 2 / np.trace(form @ form)
    mean = float((bread @ one.T @ w @ values)[0])
    reach = error * float(stats.t.ppf((1 + level) / 2, freedom))
    return mean - reach, mean + reach


def test_the_weighted_interval_equals_its_slow_reference():
    draws = np.random.default_rng(0)
    values, weights = draws.normal(size=6), draws.uniform(0.1, 5, 6)
    found = weighted_t_interval(values, weights, level=0.9)
    assert (found.low, found.high) == pytest.approx(slow_cr2(values, weights, 0.9))
    assert found.value == pytest.approx(np.average(values, weights=weights))


def test_equal_weights_change_nothing_and_zero_weights_are_left_out():
    values = np.array([1.0, 4.0, 2.0, 100.0])
    plain = t_interval(values, level=0.95, fewest=2)
    found = weighted_t_interval(values, np.full(4, 7.0), level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )
    three = t_interval(values[:3], level=0.95, fewest=2)
    found = weighted_t_interval(values, np.array([1, 1, 1, 1e-9]), level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx(
        (three.value, three.low, three.high)
    )


@pytest.mark.parametrize("sd", [(1, 1, 1, 1, 5, 5), (1, 1, 1, 1, 1, 1)])
def test_the_weighted_interval_covers_the_truth_whether_or_not_weights_are_right(sd):
    draws = np.random.default_rng(1).normal(size=(1000, 6)) * sd
    weights = np.array([1, 1, 1, 1, 1 / 25, 1 / 25])
    found = [weighted_t_interval(values, weights, level=0.9) for values in draws]
    assert within(sum(one.low <= 0 <= one.high for one in found), 1000, 0.9)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([1.0], [1.0], "at least 2"),
        ([1.0, 2.0], [1.0], "2 values and 1 weights"),
        ([1.0, 2.0], [1.0, 0.0], "must be positive"),
    ],
)
def test_invalid_weights_are_refused(values, weights, message):
    with pytest.raises(ValueError, match=message):
        weighted_t_interval(np.array(values), np.array(weights), level=0.95)


def test_the_wilson_interval_solves_its_equation():
    for right, of in ((0, 5), (294, 332), (7, 7)):
        found = wilson_interval(right, of, level=0.95)
        for end in (found.low, found.high):  # where the score test is just significant
            assert (found.value - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / of)


def test_the_wilson_interval_holds_a_proportion_at_about_its_level():
    """Its coverage, in the mean over proportions, by sums over the binomial."""
    shares = np.linspace(0.05, 0.95, 181)
    found = [wilson_interval(right, 40, level=0.9) for right in range(41)]
    held = np.array([[one.low <= share <= one.high for one in found] for share in shares])
    chance = stats.binom.pmf(np.arange(41), 40, shares[:, None])
    assert (held * chance).sum(axis=1).mean() == pytest.approx(0.9, abs=0.01)


def test_invalid_counts_are_refused():
    for right, of in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"right={right} must lie between"):
            wilson_interval(right, of, level=0.95)


def test_slopes_are_those_of_least_squares_for_each_line():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5), rng.normal(size=(3, 5))
    assert slopes(x, y) == pytest.approx([np.polyfit(x, line, 1)[0] for line in y])
    assert slopes(x, y[0]) == pytest.approx(np.polyfit(x, y[0], 1)[0])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_that_is_not_a_probability_is_refused(level):
    with pytest.raises(ValueError, match=f"level={level} must lie between 0 and 1"):
        check_level(level)
