"""A law has an interval, or there is a reason why no law is reported."""

import math
import re

import numpy as np
import planted
import pytest
from rows import published

from scaling.analysis import powerlaws


def wide(seed: int = 0, **settings) -> planted.Draw:
    return planted.bowl(np.random.default_rng(seed), "wide", **settings)


def test_losses_without_noise_give_the_exact_law():
    draw = wide(noise=1e-9)
    law = powerlaws.learning_rate_law(draw.rows)
    assert law.identified
    assert law.method == "surface"
    assert law.exponent == pytest.approx(draw.exponent, abs=1e-5)
    for batch, lr, low, high in law.optima:
        assert lr == pytest.approx(law.constant * batch**law.exponent)
        assert low <= lr <= high
    assert law.contains(draw.exponent + 1e-3) is False


def test_the_order_of_rows_and_the_names_of_seeds_do_not_matter():
    rows = wide(1).rows
    law = powerlaws.learning_rate_law(rows)
    other = rows.sample(frac=1, random_state=0).assign(seed=lambda r: 40 - 3 * r["seed"])
    again = powerlaws.learning_rate_law(other)
    assert again.exponent == pytest.approx(law.exponent, abs=1e-4)
    assert again.high - again.low == pytest.approx(law.high - law.low, rel=0.1)


def test_scaling_all_losses_or_all_rates_changes_no_exponent():
    rows = wide(2).rows
    law = powerlaws.learning_rate_law(rows)
    again = powerlaws.learning_rate_law(
        rows.assign(val_loss=7 + 3 * rows["val_loss"], lr=rows["lr"] / 50)
    )
    assert again.exponent == pytest.approx(law.exponent, abs=1e-4)
    assert again.constant == pytest.approx(law.constant / 50, rel=1e-3)


def test_if_one_surface_does_not_fit_minima_are_found_separately():
    rows, _ = planted.noisy_quadratic(np.random.default_rng(0))
    law = powerlaws.learning_rate_law(rows)
    assert law.identified
    assert law.method == "local"
    assert law.low < law.exponent < law.high


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (lambda r: r[r["batch"] <= 16], "batch sizes with a finite loss: 2"),
        (lambda r: r[r["seed"] == 0], "seeds: 1"),
        (lambda r: r[r["seed"] < 2], "seeds: 2"),
        (lambda r: r[np.isclose(r["lr"], r["lr"].median())], "learning rates per batch size: 1"),
        (lambda r: r.assign(status="diverged", val_loss=np.nan), "finite loss: 0"),
        (lambda r: r.iloc[:0], "finite loss: 0"),
        (lambda r: r[r["lr"] < r["lr"].quantile(0.3)], "learning rates|rise|inside|minimum"),
        (lambda r: r.assign(val_loss=2.0), "equal"),
    ],
)
def test_rows_without_a_law_are_refused_with_the_reason(rows, reason):
    law = powerlaws.learning_rate_law(rows(wide(3, seeds=3).rows))
    assert not law.identified
    assert re.search(reason, law.reason)
    assert math.isnan(law.exponent)
    assert law.contains(0.5) is None


def test_the_plain_fit_in_closed_form():
    batch = np.array([8, 16, 32, 64])
    fit = powerlaws.plain_fit(batch, 3e-3 * batch**0.5)
    assert (fit.exponent, fit.constant) == pytest.approx((0.5, 3e-3))
    assert fit.r_squared == pytest.approx(1)
    assert fit.high - fit.low == pytest.approx(0, abs=1e-6)


def test_the_published_fits_are_reproduced_with_the_t_interval_of_few_points():
    first = published("phase_2_optimal_lr")
    fit = powerlaws.plain_fit(first["batch"].to_numpy(), first["lr"].to_numpy())
    assert fit.exponent == pytest.approx(-0.356, abs=5e-4)
    assert (fit.high - fit.low) / 2 == pytest.approx(0.692, abs=5e-4)
    assert fit.r_squared == pytest.approx(0.259, abs=5e-4)
    inner = first[first["batch"] < 512]  # the optimum of 512 is the lowest lr tried
    fit = powerlaws.plain_fit(inner["batch"].to_numpy(), inner["lr"].to_numpy())
    assert fit.exponent == pytest.approx(0.05, abs=5e-3)
    assert (fit.high - fit.low) / 2 == pytest.approx(0.52, abs=5e-3)
    second = published("phase_2_5_optimal_lr")
    fit = powerlaws.plain_fit(second["batch"].to_numpy(), second["lr"].to_numpy())
    assert fit.exponent == pytest.approx(1.170, abs=5e-4)
    assert (fit.high - fit.low) / 2 == pytest.approx(1.22, abs=5e-3)
    assert 2 * fit.error == pytest.approx(0.568, abs=1e-3)


def test_a_table_of_optima_alone_gives_no_surface():
    rows = published("phase_2_optimal_lr").assign(seed=0, status="done")
    law = powerlaws.learning_rate_law(rows)
    assert not law.identified
    assert "learning rates per batch size: 1" in law.reason
    assert (rows["val_loss"] - math.log(65)).abs().max() < 0.013


def test_two_optima_give_no_line():
    with pytest.raises(ValueError, match="optima: 2"):
        powerlaws.plain_fit(np.array([8, 16]), np.array([1e-3, 2e-3]))
