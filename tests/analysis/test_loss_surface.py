"""One surface for all losses: what it recovers exactly, and its estimates under noise."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy import optimize, stats

from scaling.analysis import loss_surface, surface_inference
from scaling.analysis.linex import linex, linex_by_skew
from scaling.analysis.loss_surface import Losses, Surface


def planted_losses(seed: int = 0, family: str = "wide", **settings) -> tuple[planted.Draw, Losses]:
    draw = planted.bowl(np.random.default_rng(seed), family, **settings)
    return draw, Losses.of(draw.rows)


def surface(losses: Losses) -> Surface:
    """The surface of all losses."""
    return loss_surface.refine(loss_surface.fit(losses, start(losses), np.full(2, 1e-9)))


def start(losses: Losses) -> np.ndarray:
    curves = [losses.where(losses.batch == i) for i in range(len(losses.batches))]
    return np.array([curve.x[curve.y.argmin()] for curve in curves])


def slope(fitted: Surface) -> float:
    return float(np.polyfit(fitted.losses.centred, fitted.optima, 1)[0])


@pytest.mark.parametrize("skew", [-0.4, 0.0, 0.4])
def test_losses_without_noise_give_the_exact_surface(skew):
    draw, losses = planted_losses(noise=1e-9, skew=skew)
    fitted = surface(losses)
    assert slope(fitted) == pytest.approx(draw.exponent, abs=1e-5)
    assert fitted.skew == pytest.approx(skew, abs=1e-4)
    assert fitted.height == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_allclose(fitted.predicted(losses), losses.y, atol=1e-6)
    assert np.abs(fitted.distances() - (losses.x - fitted.optima[losses.batch])).max() < 1e-5


def test_derivatives_are_those_of_finite_differences():
    _, losses = planted_losses(7, "curved", noise=0.1)
    fitted = surface(losses)
    analytic = fitted.derivatives(losses)
    for i in range(len(fitted.theta)):
        step = np.zeros_like(fitted.theta)
        step[i] = 1e-5
        up, down = (
            dataclasses.replace(fitted, theta=fitted.theta + sign * step).predicted(losses)
            for sign in (1, -1)
        )
        np.testing.assert_allclose(analytic[:, i], (up - down) / 2e-5, atol=1e-5, rtol=1e-5)


def test_the_linex_bowl_in_closed_form_and_its_parabola():
    z = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(linex(z, 0.5), 8 * (np.exp(z / 2) - 1 - z / 2), atol=1e-12)
    np.testing.assert_allclose(linex(z, 0.0), z**2)
    np.testing.assert_allclose(linex(z, 1e-4), linex(z, 0.99e-4), rtol=1e-5, atol=1e-12)
    assert linex(z, -0.7).min() >= 0
    np.testing.assert_allclose(linex(z, -0.7), linex(-z, 0.7))


@pytest.mark.parametrize("skew", [-3.0, -0.5, -2e-3, 0.0, 1e-7, 4e-3, 1.0, 3.0])
def test_the_derivative_of_the_linex_bowl_by_its_skew(skew):
    z = np.linspace(-9, 9, 73)
    slow = (linex(z, skew + 1e-5) - linex(z, skew - 1e-5)) / 2e-5
    np.testing.assert_allclose(linex_by_skew(z, skew), slow, rtol=1e-4, atol=1e-6)
    assert linex_by_skew(z, 0.0) == pytest.approx(z**3 / 3)
    assert linex_by_skew(np.array([11.0]), 3.0) == 0  # where linex is clipped


def test_the_fit_is_the_least_squares_of_a_slow_obvious_search():
    _, losses = planted_losses(3, noise=0.1, batches=5)
    fast = loss_surface.fit(losses, start(losses), np.full(2, 1e-9))
    seeds = len(losses.seeds)

    def squares(theta):
        mean = np.empty_like(losses.y)
        optima, (curvature, skew), rest = theta[:5], theta[5:7], theta[7:]
        shifts, offsets = rest[: seeds - 1], rest[seeds - 1 :]
        shifts = np.append(-shifts.sum(), shifts)
        drifts = np.append(-offsets[5:-1].sum(), offsets[5:-1])
        for n in range(len(losses.y)):
            i, s = losses.batch[n], losses.seed[n]
            z = losses.x[n] - optima[i] - shifts[s]
            bowl = np.exp(curvature * losses.centred[i]) * linex(np.array([z]), skew)[0]
            mean[n] = offsets[-1] * bowl + offsets[i] + drifts[s]
        return losses.y - mean

    slow = optimize.least_squares(squares, np.concatenate([fast.theta, fast.linear]))
    np.testing.assert_allclose(slow.x[: len(fast.theta)], fast.theta, atol=1e-4)
    assert 2 * slow.cost == pytest.approx(fast.residuals @ fast.residuals, rel=1e-6)


def test_the_errors_of_the_optima_are_the_spread_of_the_estimates():
    draw, losses = planted_losses(noise=0.1, seeds=2, batches=6)
    mean = (losses.x - draw.exponent * losses.centred[losses.batch]) ** 2
    estimates, covariances = [], []
    for seed in range(60):
        noisy = mean + np.random.default_rng(seed).normal(0, 0.1, len(mean))
        optima = surface_inference.curve_optima(surface(dataclasses.replace(losses, y=noisy)))
        estimates.append(optima.optima)
        covariances.append(optima.covariance)
    spread, claimed = np.cov(np.array(estimates).T), np.mean(covariances, axis=0)
    assert np.trace(claimed) == pytest.approx(np.trace(spread), rel=0.2)
    contrast = losses.centred[optima.batch]
    assert contrast @ claimed @ contrast == pytest.approx(contrast @ spread @ contrast, rel=0.4)
    expected = draw.exponent * losses.centred[optima.batch]
    assert np.abs(np.mean(estimates, axis=0) - expected).max() < 4 * spread.max() ** 0.5 / 60**0.5


def test_each_curve_has_its_own_optimum():
    draw = planted.bowl(np.random.default_rng(3), "tilting", noise=1e-9, seeds=3)
    fitted = surface(Losses.of(draw.rows))
    optima = surface_inference.curve_optima(fitted)
    own = []
    for batch, seed in zip(optima.batch, optima.seed, strict=True):
        curve = (fitted.losses.batch == batch) & (fitted.losses.seed == seed)
        a, b, _ = np.polyfit(fitted.losses.x[curve], fitted.losses.y[curve], 2)
        own.append(-b / a / 2)
    assert np.abs(optima.optima - own).max() < 0.01


def test_each_side_of_a_bowl_is_judged_separately():
    _, losses = planted_losses(6, noise=0.05)
    fitted = surface(losses)
    assert min(surface_inference.side_t_values(fitted)) > 5
    left = losses.where(losses.x < fitted.optima[losses.batch])
    assert surface_inference.side_t_values(surface(left))[1] < 2


def test_noise_that_grows_to_the_right_is_weighted_and_equal_noise_is_not():
    grows = [np.ptp(surface(planted_losses(i, "curved")[1]).weights) > 0 for i in range(20)]
    equal = [np.ptp(surface(planted_losses(i, "wide")[1]).weights) > 0 for i in range(20)]
    assert sum(grows) >= 15
    assert sum(equal) <= 5


def test_seeds_that_share_an_optimum_are_distinguished_from_those_that_do_not():
    def share(family: str, moves: str) -> float:
        draws = [planted_losses(seed, family, seeds=4) for seed in range(60)]
        kept = [losses for draw, losses in draws if draw.moves == moves]
        return float(
            np.mean([surface_inference.seeds_agree(surface(losses)) < 0.05 for losses in kept])
        )

    assert share("wide", "") <= stats.binom.ppf(0.995, 60, 0.05) / 60
    assert share("moving", "seed") > 0.9


def test_one_seed_agrees_with_itself():
    _, losses = planted_losses(seeds=1)
    assert surface_inference.seeds_agree(surface(losses)) == 1.0


def test_a_landscape_without_a_bowl_leaves_the_seeds_shifts_open():
    for draw in range(40):
        rows = planted.null(np.random.default_rng(draw), "flat_with_bad_runs")
        assert 0 <= surface_inference.seeds_agree(surface(Losses.of(rows))) <= 1
