"""Four laws are compared, and a tie is reported if the optima cannot distinguish them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling.analysis import law_selection
from scaling.analysis.powerlaws import candidates

BATCHES = 8 * 2 ** np.arange(7)
TRUE = {
    "constant": lambda b: np.full(len(b), 0.01),
    "power": lambda b: 1e-3 * b**0.5,
    "saturating": lambda b: 0.05 / (1 + 60 / b),
    "surge": lambda b: 0.05 / (0.5 * (np.sqrt(60 / b) + np.sqrt(b / 60))),
}


def rows(law: str, noise: float, seed: int = 0, batches=BATCHES) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    grid = np.log(0.01) + (np.arange(9) - 4) * np.log(10) / 2
    optima = np.log(TRUE[law](batches))
    return pd.DataFrame(
        [
            {"batch": batch, "lr": np.exp(x), "seed": s, "status": "done",
             "val_loss": 2 + 0.05 * (x - optimum) ** 2 + noise * rng.standard_normal()}
            for batch, optimum in zip(batches, optima, strict=True)
            for x in grid
            for s in range(4)
        ]
    )  # fmt: skip


@pytest.mark.parametrize("law", TRUE)
def test_the_planted_law_is_found_with_its_parameters(law):
    found = candidates(rows(law, noise=0.004))
    best = found.fits[0]
    assert best.name == law
    assert best.behind == 0
    parameters = dict(best.parameters)
    if law in ("saturating", "surge"):
        assert parameters["lr"] == pytest.approx(0.05, rel=0.15)
        assert parameters["batch"] == pytest.approx(60, rel=0.3)
    if law == "power":
        assert parameters["exponent"] == pytest.approx(0.5, abs=0.05)
        assert parameters["lr"] == pytest.approx(1e-3, rel=0.2)
    if law == "constant":
        assert parameters["lr"] == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("law", TRUE)
def test_the_planted_law_is_rarely_lost(law):
    tied = [candidates(rows(law, noise=0.05, seed=seed)).tied for seed in range(12)]
    assert sum(law in names for names in tied) >= 10


def test_few_batch_sizes_in_much_noise_are_a_tie():
    tied = candidates(rows("saturating", noise=0.3, batches=BATCHES[2:7])).tied
    assert len(tied) > 1


def test_leaving_a_batch_size_out_agrees_with_a_loop_if_precisions_are_equal():
    logs = np.log(BATCHES.astype(float))
    optima = np.log(TRUE["power"](BATCHES)) + np.random.default_rng(0).normal(0, 0.1, 7)
    errors, x = np.eye(7) * 0.05**2, np.column_stack([np.ones(7), logs])
    fit, scores = law_selection.fit_form("power", logs, optima, errors)
    variance = 0.05**2 + fit.regression.between
    missed, slow = [], []
    for i in range(7):
        rest = np.arange(7) != i
        slope, level = np.polyfit(logs[rest], optima[rest], 1)
        leverage = x[i] @ np.linalg.inv(x[rest].T @ x[rest]) @ x[i]
        missed.append(level + slope * logs[i] - optima[i])
        slow.append(stats.norm.logpdf(missed[-1], scale=np.sqrt(variance * (1 + leverage))))
    assert fit.left_out == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=1e-4)
    np.testing.assert_allclose(scores, slow, rtol=1e-4)
    slope, level = np.polyfit(logs, optima, 1)
    deviance = -2 * stats.norm.logpdf(optima, level + slope * logs, np.sqrt(variance)).sum()
    assert fit.aicc == pytest.approx(deviance + 2 * 3 * 7 / (7 - 3 - 1))


def test_one_seed_finds_the_turn_with_an_interval_that_holds_it():
    inside = []
    for seed in range(20):
        one = rows("saturating", noise=0.02, seed=seed).query("seed == 0")
        fit = next(fit for fit in candidates(one).fits if fit.name == "saturating")
        inside.append(fit.turn[1] <= 60 <= fit.turn[2])
    assert sum(inside) >= stats.binom.ppf(0.005, 20, 0.95)


def dense_ends(name: str, fit, logs, optima, errors) -> tuple[float, float]:
    """The turn's interval from a dense grid about it, each level by ordinary least squares."""
    form = law_selection.FORMS[name][0]
    known = errors + fit.regression.between * np.eye(len(optima))
    white = np.linalg.inv(np.linalg.cholesky(known))
    limit = stats.f.isf(0.05, 1, fit.regression.freedom) * max(1.0, fit.regression.scale)
    middle, low, high = np.log(fit.turn)
    turns = np.linspace(middle - 1.5 * (high - low), middle + 1.5 * (high - low), 1_001)
    distances = []
    for turn in turns:
        rest = white @ (optima - form(logs, 0.0, turn))
        level = np.linalg.lstsq(white.sum(1)[:, None], rest, rcond=None)[0][0]
        distances.append(np.sum((rest - level * white.sum(1)) ** 2))
    inside = turns[np.array(distances) <= min(distances) + limit]
    return inside[0], inside[-1]


@pytest.mark.parametrize("name", ["saturating", "surge"])
@pytest.mark.parametrize("noise", [0.1, 1e-2, 1e-4, 1e-6])
def test_the_interval_of_the_turn_is_that_of_a_dense_grid_however_little_noise(name, noise):
    logs = np.log(BATCHES.astype(float))
    for seed in range(3):
        optima = np.log(TRUE[name](BATCHES))
        optima += np.random.default_rng(seed).normal(0, noise, len(optima))
        errors = noise**2 * np.eye(len(optima))
        fit, _ = law_selection.fit_form(name, logs, optima, errors)
        turn, low, high = fit.turn
        assert low < turn < high
        width = np.log(high / low)
        assert 0.5 * noise < width < 50 * noise
        ends = dense_ends(name, fit, logs, optima, errors)
        np.testing.assert_allclose(np.log([low, high]), ends, atol=0.01 * width)


def test_without_an_identified_law_there_is_nothing_to_compare():
    compared = candidates(rows("power", noise=0.01).query("batch < 32"))
    assert compared.fits == ()
    assert "finite loss: 2" in compared.reason


def test_four_batch_sizes_are_too_few_for_two_parameters():
    compared = candidates(rows("power", 0.01, batches=BATCHES[:4]))
    assert compared.fits == ()
    assert compared.reason == "fewer than 5 batch sizes have their fitted minimum inside the grid"
