"""Statistics of tails against closed forms, scipy's own fits and slow, obvious references."""

import math

import numpy as np
import pytest
from scipy import special, stats

from scaling.gradients.tail_fits import (
    SHARES,
    Hill,
    excess_kurtosis,
    generalised_gaussian,
    hill,
    rises,
    student,
    tail_fit,
    top,
)


def quantiles(law, size: int = 50_000) -> np.ndarray:
    """A sample without sampling error: the quantiles of a law in the middle of equal shares."""
    return law.ppf((np.arange(size) + 0.5) / size)


@pytest.mark.parametrize("share", SHARES)
def test_hill_on_laplace_quantiles_is_the_closed_form_and_no_index(share):
    x = math.log(1 / share)
    found = tail_fit(quantiles(stats.laplace)).hill[SHARES.index(share)]
    assert found == pytest.approx(1 / (math.exp(x) * special.exp1(x)), rel=0.02)


@pytest.mark.parametrize("index", [1.0, 2.0, 3.0])
def test_hill_on_pareto_quantiles_is_their_index_at_every_share(index):
    upper = quantiles(stats.pareto(index))
    for share in SHARES:
        assert hill(upper, top(len(upper), share)) == pytest.approx(index, rel=0.02)


def test_hill_equals_a_loop_over_the_largest_values():
    sizes = np.sort(np.abs(np.random.default_rng(0).standard_t(3, size=500)))
    logs = [math.log(size / sizes[-26]) for size in sizes[-25:]]
    assert hill(sizes, 25) == pytest.approx(25 / sum(logs))
    whole = tail_fit(np.concatenate([sizes, -sizes]))  # the median is 0
    assert whole.hill[1] == pytest.approx(hill(np.sort(np.repeat(sizes, 2)), 50))


def test_hill_of_fewer_than_five_values_is_missing():
    assert math.isnan(hill(np.arange(1.0, 10), 4))
    assert math.isnan(tail_fit(np.random.default_rng(0).normal(size=200)).hill[0])


def test_an_index_that_rises_at_fewer_values_is_not_that_of_a_power_law():
    assert rises(Hill(1000, 5.7), Hill(4000, 3.2))
    assert not rises(Hill(200, 1.01), Hill(2000, 0.99))
    assert not rises(Hill(1, math.nan), Hill(10, 2.0))


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_the_shape_of_generalised_gaussian_quantiles_is_recovered(shape):
    found, _ = generalised_gaussian(np.abs(quantiles(stats.gennorm(shape))))
    assert found == pytest.approx(shape, rel=0.01)


@pytest.mark.parametrize("degrees", [1.0, 2.0, 3.0, 8.0])
def test_the_degrees_of_student_quantiles_are_recovered(degrees):
    found, _ = student(np.abs(quantiles(stats.t(degrees))))
    assert found == pytest.approx(degrees, rel=0.01)


def test_the_degrees_of_gaussian_quantiles_are_infinite():
    assert student(np.abs(quantiles(stats.norm)))[0] == math.inf


@pytest.mark.parametrize("law", [stats.t(3), stats.laplace, stats.norm, stats.cauchy])
def test_both_fits_equal_those_of_scipy(law):
    values = law.rvs(size=2_000, random_state=np.random.default_rng(4))
    sizes = np.abs(values)
    shape, light = generalised_gaussian(sizes)
    theirs = stats.gennorm.fit(sizes, floc=0)
    assert shape == pytest.approx(theirs[0], rel=1e-3)
    assert light == pytest.approx(stats.gennorm.logpdf(values, *theirs).mean(), abs=1e-6)
    degrees, heavy = student(sizes)
    theirs = stats.t.fit(values, floc=0)
    if degrees < 100:
        assert degrees == pytest.approx(theirs[0], rel=1e-3)
    assert heavy == pytest.approx(stats.t.logpdf(values, *theirs).mean(), abs=1e-6)


def test_excess_kurtosis_equals_that_of_scipy_and_of_known_laws():
    values = np.random.default_rng(1).laplace(size=1_000) + 7
    assert excess_kurtosis(values) == pytest.approx(stats.kurtosis(values))
    assert excess_kurtosis(np.array([-1.0, 1.0] * 10)) == -2
    assert excess_kurtosis(quantiles(stats.laplace)) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("scale", [1e-40, 1e-9, 1e30])
def test_no_statistic_depends_on_the_scale(scale):
    values = np.random.default_rng(2).laplace(size=2_000)
    first, scaled = tail_fit(values), tail_fit(scale * values)
    assert np.allclose([*first[:4], *first.hill], [*scaled[:4], *scaled.hill], rtol=1e-3)
