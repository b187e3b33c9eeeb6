"""Stored bands against asymptotic formulas, and against samples drawn again."""

import math

import numpy as np
import pytest

from scaling.gradients.tail_bands import (
    LAWS,
    QUANTILES,
    STATISTICS,
    Band,
    bands,
    simulate,
    standardised,
)
from scaling.gradients.tail_fits import excess_kurtosis


def width(band: Band) -> float:
    return band.high - band.low


@pytest.mark.parametrize("values", [2_000, 20_000, 60_000])
def test_bands_of_the_gaussian_and_of_hill_are_as_wide_as_theory_says(values):
    at = bands(values)
    kurtosis = at["gaussian"]["excess_kurtosis"]
    assert width(kurtosis) == pytest.approx(2 * 1.96 * math.sqrt(24 / values), rel=0.15)
    index = at["student_t_2"]["hill_1"]  # nearly a power law there: relative error 1 / sqrt(k)
    assert width(index) == pytest.approx(2 * 2 * 1.96 / math.sqrt(values / 100), rel=0.25)


def test_bands_contain_their_medians_and_become_narrower():
    small, large = bands(1_000), bands(20_000)
    for law in LAWS:
        for name in STATISTICS:
            band = large[law][name]
            assert band.low <= band.middle <= band.high
            if name != "excess_kurtosis" and math.isfinite(width(band)):  # a t has none
                assert width(band) < width(small[law][name])


def test_a_statistic_is_in_a_band_or_not():
    band = bands(20_000)["laplace"]["shape"]
    assert 1.0 in band
    assert 2.0 not in band


@pytest.mark.parametrize(
    ("law", "kind", "draws", "coordinates"),
    [
        ("laplace", "independent", 500, 1),
        ("student_t_3", "independent", 2_000, 1),
        ("gaussian", "standardised", 50, 10),
        ("student_t_2", "standardised", 10, 50),
        ("laplace", "shared", 50, 40),
    ],
)
def test_samples_drawn_again_fall_into_the_stored_bands(law, kind, draws, coordinates):
    values = draws * coordinates
    stored = bands(values, draws if coordinates > 1 else 0, shared=kind == "shared")[law]
    again = simulate(law, kind, draws, coordinates, repeats=60)
    _, middle, _ = again
    for name, new in zip(STATISTICS, middle, strict=True):
        band = stored[name]
        if math.isfinite(new) and math.isfinite(width(band)):
            assert band.low < new < band.high, name
            assert abs(new - band.middle) < 0.2 * width(band), name  # 4 standard errors or more


def test_draws_that_share_a_scale_at_least_double_the_spread_of_kurtosis():
    alone = bands(20_000)["laplace"]["excess_kurtosis"]
    shared = bands(20_000, 200, shared=True)["laplace"]["excess_kurtosis"]
    assert 2 < width(shared) / width(alone) < 3.5


def test_few_draws_of_a_coordinate_hide_its_tails():
    few, many = (bands(20_000, draws)["student_t_3"]["shape"].middle for draws in (10, 1_000))
    assert few > 1.2 > many


def test_bands_between_stored_sizes_lie_between_theirs():
    sizes = [bands(size)["gaussian"]["shape"].high for size in (5_000, 10_000, 20_000)]
    assert sizes == sorted(sizes, reverse=True)
    draws = [bands(20_000, n)["laplace"]["shape"].middle for n in (20, 30, 50)]
    assert draws == sorted(draws, reverse=True)


def test_larger_samples_have_the_bands_of_the_largest_that_is_stored():
    assert bands(10**7) == bands(100_000)


def test_a_standardised_coordinate_has_mean_zero_and_variance_one():
    table = np.random.default_rng(0).normal(3, [1, 10], size=(50, 2))
    each = standardised(table)
    assert np.allclose(each.mean(axis=0), 0)
    assert np.allclose(each.var(axis=0), 1)
    assert excess_kurtosis(each[:, 0]) == pytest.approx(excess_kurtosis(table[:, 0]))


def test_simulated_quantiles_depend_on_nothing_but_the_arguments():
    first, again = (simulate("laplace", "independent", 200, 1, repeats=5) for _ in range(2))
    assert first.shape == (len(QUANTILES), len(STATISTICS))
    assert np.array_equal(first, again, equal_nan=True)
