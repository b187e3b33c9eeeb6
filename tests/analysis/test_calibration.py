"""Intervals cover at their nominal rate, and a sweep without a law gives none.

60 draws of each family; `make calibrate` takes 1,000 and prints the rates.
"""

import os

import numpy as np
import planted
import pytest
from scipy import stats

from scaling.analysis import powerlaws

DRAWS = int(os.environ.get("SCALING_DRAWS", "60"))
IDENTIFIED = {
    "wide": 0.95,
    "curved": 0.9,
    "diverged": 0.9,
    "missing": 0.9,
    "moving": 0.8,
    "cut": 0.7,
    "all": 0.6,
}
WIDTH = {
    "wide": 1.6,
    "missing": 1.6,
    "curved": 2.0,
    "diverged": 2.0,
    "moving": 2.0,
    "cut": 4.0,
    "all": 4.0,
}


def at_least(share: float) -> int:
    """The number of successes that 99 % of sets of draws with this share reach."""
    return int(stats.binom.ppf(0.01, DRAWS, share))


def covers(inside: np.ndarray) -> bool:
    """Whether the share of intervals that hold the truth fits 95 %, within a 99 % band."""
    low, high = stats.binom.interval(0.99, len(inside), 0.95)
    return bool(low <= inside.sum() <= high)


def generators(name: str):
    number = sum(map(ord, name))
    return (np.random.default_rng([number, draw]) for draw in range(DRAWS))


@pytest.mark.parametrize("family", planted.BOWLS)
def test_the_interval_of_a_planted_law_covers_it(family):
    draws = [planted.bowl(rng, family) for rng in generators(family)]
    laws = [powerlaws.learning_rate_law(draw.rows) for draw in draws]
    known = [(law, draw) for law, draw in zip(laws, draws, strict=True) if law.identified]
    inside = np.array([law.low <= draw.exponent <= law.high for law, draw in known])
    bias = np.mean([law.exponent - draw.exponent for law, draw in known])
    widths = [(law.high - law.low) / draw.oracle_width() for law, draw in known]
    print(
        f"{family:<10} identified {len(known) / DRAWS:.3f}  covers {inside.mean():.3f}  "
        f"bias {bias:+.4f}  width {np.median(widths):.2f} of the oracle's"
    )
    assert len(known) >= at_least(IDENTIFIED[family])
    assert covers(inside)
    assert abs(bias) < 0.05
    assert np.median(widths) < WIDTH.get(family, 2.0)
    assert all(np.isfinite([law.low, law.high]).all() for law, _ in known)


def test_the_interval_covers_the_line_through_the_optima_of_the_noisy_quadratic_model():
    draws = [planted.noisy_quadratic(rng) for rng in generators("quadratic")]
    laws = [(powerlaws.learning_rate_law(rows), exponent) for rows, exponent in draws]
    known = [(law, exponent) for law, exponent in laws if law.identified]
    inside = np.array([law.low <= exponent <= law.high for law, exponent in known])
    bias = np.mean([law.exponent - exponent for law, exponent in known])
    width = np.median([law.high - law.low for law, _ in known])
    print(
        f"{'quadratic':<10} identified {len(known) / DRAWS:.3f}  covers {inside.mean():.3f}  "
        f"bias {bias:+.4f}  width {width:.2f}"
    )
    assert len(known) >= at_least(0.8)
    assert covers(inside)
    assert abs(bias) < 0.05


@pytest.mark.parametrize("family", planted.NULLS)
def test_a_sweep_without_a_law_gives_none(family):
    found = [powerlaws.learning_rate_law(planted.null(rng, family)) for rng in generators(family)]
    wrong = sum(law.identified for law in found)
    print(f"{family:<20} identified {wrong / DRAWS:.3f}")
    assert wrong <= stats.binom.ppf(0.99, DRAWS, 0.05)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_much_noise_makes_no_false_law(noise):
    draws = [planted.bowl(rng, "wide", noise=noise) for rng in generators(f"noise {noise}")]
    laws = [powerlaws.learning_rate_law(draw.rows) for draw in draws]
    false = sum(
        law.identified and not law.low <= draw.exponent <= law.high
        for law, draw in zip(laws, draws, strict=True)
    )
    print(f"noise {noise:<14} identified {np.mean([law.identified for law in laws]):.3f}  "
          f"falsely {false / DRAWS:.3f}")  # fmt: skip
    assert false <= stats.binom.ppf(0.99, DRAWS, 0.05)


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_make_no_law(seeds):
    for rng in generators(f"{seeds} seeds"):
        law = powerlaws.learning_rate_law(planted.bowl(rng, "wide", seeds=seeds).rows)
        assert not law.identified
        assert "seed" in law.reason
