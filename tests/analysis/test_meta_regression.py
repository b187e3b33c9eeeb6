"""Random-effects meta-regression: closed forms, a slow twin, and its coverage."""

import numpy as np
import pytest
from scipy import optimize, stats

from scaling.analysis.meta_regression import between_variance, regress


def line(rng, count: int, between: float, spread: float = 0.1):
    """Estimates about 1 + 0.5 x, their errors and the design."""
    x = np.linspace(-1.5, 1.5, count)
    errors = np.diag((spread * rng.uniform(0.5, 2, count)) ** 2)
    noise = rng.multivariate_normal(np.zeros(count), errors + between**2 * np.eye(count))
    return 1 + 0.5 * x + noise, errors, np.column_stack([np.ones(count), x])


def test_without_scatter_it_is_generalised_least_squares():
    _, errors, design = line(np.random.default_rng(0), 8, 0.0)
    exact = 1 + 0.5 * design[:, 1]
    found = regress(exact, errors, design)
    assert found.coefficients == pytest.approx([1, 0.5])
    assert (found.between, found.scale) == pytest.approx((0, 0), abs=1e-12)
    expected = np.linalg.inv(design.T @ np.linalg.inv(errors) @ design)
    np.testing.assert_allclose(found.covariance, expected)


def test_equal_errors_and_much_scatter_give_the_t_interval_of_a_line():
    rng = np.random.default_rng(1)
    values, _, design = line(rng, 7, 0.5)
    found = regress(values, 1e-10 * np.eye(7), design)
    plain = stats.linregress(design[:, 1], values)
    assert found.coefficients[1] == pytest.approx(plain.slope)
    assert found.between == pytest.approx(np.sum((values - design @ found.coefficients) ** 2) / 5)
    t = stats.t.ppf(0.975, 5)
    assert found.reach(np.array([0.0, 1.0]), 0.95) == pytest.approx(t * plain.stderr, rel=1e-4)


def test_the_scatter_is_that_of_a_slow_search():
    values, errors, design = line(np.random.default_rng(2), 9, 0.2)

    def deviance(log_between: float) -> float:
        covariance = errors + np.exp(log_between) * np.eye(9)
        contrasts = np.linalg.svd(design)[0][:, 2:]  # the restricted likelihood
        projected = contrasts.T @ covariance @ contrasts
        return -stats.multivariate_normal.logpdf(contrasts.T @ values, cov=projected)

    slow = optimize.minimize_scalar(deviance, bounds=(-15, 3), method="bounded")
    assert between_variance(values, errors, design) == pytest.approx(np.exp(slow.x), rel=1e-3)


@pytest.mark.parametrize("count", [5, 8])
@pytest.mark.parametrize("between", [0.0, 0.1, 0.5])
def test_the_interval_covers(count, between):
    rng, inside = np.random.default_rng([count, int(10 * between)]), 0
    row, draws = np.array([0.0, 1.0]), 200
    for _ in range(draws):
        found = regress(*line(rng, count, between))
        inside += abs(found.coefficients[1] - 0.5) <= found.reach(row, 0.95)
    assert inside >= stats.binom.ppf(0.005, draws, 0.95)


def test_a_prediction_interval_covers_one_more_estimate():
    rng, inside, draws = np.random.default_rng(3), 0, 200
    row = np.array([1.0, 2.0])
    for _ in range(draws):
        found = regress(*line(rng, 8, 0.3, spread=0.02))
        new = 2.0 + 0.3 * rng.standard_normal()
        reach = found.reach(row, 0.95, extra=found.between)
        inside += abs(row @ found.coefficients - new) <= reach
    low, high = stats.binom.interval(0.99, draws, 0.95)
    assert low <= inside <= high
