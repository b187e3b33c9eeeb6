"""P-values, power and seeds against other programs, slow references, and nominal rates."""

import math

import numpy as np
import pytest
from rates import within

from scaling.analysis.significance import detectable, holm, mcnemar, power, seeds_needed


def test_power_is_that_of_other_programs():
    assert power(1.0, 10, 0.95) == pytest.approx(0.8030969, abs=1e-6)  # G*Power 3, two-sided
    assert power(0.5, 34, 0.95) == pytest.approx(0.8077775, abs=1e-6)
    assert power(0.0, 5, 0.95) == pytest.approx(0.05)
    assert power(1e12, 3, 0.95) == power(-1e12, 3, 0.95) == 1.0


@pytest.mark.parametrize("seeds", [2, 3, 10, 100])
def test_the_detectable_effect_has_a_power_of_80_percent_either_way(seeds):
    for level in (0.9, 0.95, 0.999):
        assert power(detectable(seeds, level), seeds, level) == pytest.approx(0.8)
        assert power(-detectable(seeds, level), seeds, level) == pytest.approx(0.8)


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.0, 3.0, 50.0])
def test_the_seeds_needed_are_the_fewest_that_suffice(shift):
    slow = next(seeds for seeds in range(2, 1001) if power(shift, seeds, 0.95) >= 0.8)
    assert seeds_needed(shift, 0.95) == slow


def test_more_than_a_thousand_seeds_are_infinite():
    assert seeds_needed(0.01, 0.95) == math.inf


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_a_missing_p_value_does_not_count_in_holm():
    corrected = holm([0.02, math.nan, 0.01])
    assert corrected[[0, 2]].tolist() == [0.02, 0.02]
    assert math.isnan(corrected[1])


def slow_holm(p: list[float]) -> list[float]:
    """The smallest level at which the step-down procedure would reject each."""
    ordered = sorted(p)
    return [
        min(1.0, max((len(p) - i) * ordered[i] for i in range(ordered.index(one) + 1))) for one in p
    ]


def test_holm_equals_its_slow_reference():
    p = np.random.default_rng(0).uniform(size=20) ** 3
    assert holm(p).tolist() == pytest.approx(slow_holm(p.tolist()))


def test_holm_rejects_anything_true_no_more_often_than_its_level():
    p = np.random.default_rng(0).uniform(size=(400, 5))
    wrong = sum(bool((holm(one) < 0.05).any()) for one in p)
    assert within(wrong, 400, 1 - (1 - 0.05 / 5) ** 5)  # the smallest is tested first


def test_a_p_value_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        holm([0.5, 1.5])


def test_mcnemar_by_hand():
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 3) == mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1.0


def test_mcnemar_counts_the_splits_at_least_as_uneven():
    for first, second in ((3, 9), (12, 5)):
        many = first + second
        splits = [k for k in range(2**many) if abs(2 * k.bit_count() - many) >= abs(first - second)]
        assert mcnemar(first, second) == pytest.approx(len(splits) / 2**many)


def test_mcnemar_rejects_equal_classifiers_no_more_often_than_its_level():
    chances = [math.comb(30, k) / 2**30 for k in range(31)]
    wrong = sum(chance for k, chance in enumerate(chances) if mcnemar(k, 30 - k) < 0.05)
    assert 0.02 < wrong <= 0.05


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        mcnemar(-1, 2)
