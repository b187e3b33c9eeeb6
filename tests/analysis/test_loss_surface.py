"""One surface for all losses: what it recovers exactly, and its estimates under noise."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy import optimize, stats

from scaling.analysis import loss_surface, surface_inference
from scaling.analysis.linex import linex


def planted_losses(
    seed: int = 0, family: str = "wide", **settings
) -> tuple[planted.Draw, loss_surface.Losses]:
    draw = planted.bowl(np.random.default_rng(seed), family, **settings)
    return draw, loss_surface.Losses.of(draw.rows)


@pytest.mark.parametrize("skew", [-0.4, 0.0, 0.4])
def test_losses_without_noise_give_the_exact_surface(skew):
    draw, losses = planted_losses(noise=1e-9, skew=skew)
    surface = loss_surface.fit(losses)
    assert surface.parameters[1] == pytest.approx(draw.exponent, abs=1e-5)
    assert surface.skew == pytest.approx(skew, abs=1e-4)
    assert surface.height == pytest.approx(1.0, rel=1e-4)
    assert np.abs(surface.distances() - (losses.x - surface.optima[losses.batch])).max() < 1e-5


def test_a_free_optimum_of_each_batch_size_lies_on_the_law_if_there_is_one():
    _, losses = planted_losses(noise=1e-9)
    surface = loss_surface.fit(losses)
    np.testing.assert_allclose(loss_surface.free(surface).optima, surface.optima, atol=1e-5)


def test_the_linex_bowl_in_closed_form_and_its_parabola():
    z = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(linex(z, 0.5), 8 * (np.exp(z / 2) - 1 - z / 2), atol=1e-12)
    np.testing.assert_allclose(linex(z, 0.0), z**2)
    np.testing.assert_allclose(linex(z, 1e-4), linex(z, 0.99e-4), rtol=1e-5, atol=1e-12)
    assert linex(z, -0.7).min() >= 0
    np.testing.assert_allclose(linex(z, -0.7), linex(-z, 0.7))


def test_the_fit_is_the_least_squares_of_a_slow_obvious_search():
    _, losses = planted_losses(3, noise=0.1)
    ones = np.ones_like(losses.y)
    law = np.column_stack([np.ones_like(losses.batches), losses.centred])
    fast = loss_surface._fitted(losses, law, ones, np.zeros(2), None)

    def squares(theta):
        mean = np.empty_like(losses.y)
        shifts = np.append(
            -theta[4 : 3 + len(losses.seeds)].sum(), theta[4 : 3 + len(losses.seeds)]
        )
        offsets = theta[3 + len(losses.seeds) :]
        for n in range(len(losses.y)):
            i, s = losses.batch[n], losses.seed[n]
            z = losses.x[n] - theta[0] - theta[1] * losses.centred[i] - shifts[s]
            bowl = np.exp(theta[2] * losses.centred[i]) * linex(np.array([z]), theta[3])[0]
            mean[n] = offsets[-1] * bowl + offsets[i]
            if s:
                mean[n] += offsets[len(losses.batches) + s - 1]
            else:
                mean[n] -= offsets[len(losses.batches) : -1].sum()
        return losses.y - mean

    start = np.concatenate([fast.theta, [losses.y.min()] * len(losses.batches)])
    start = np.concatenate([start, np.zeros(len(losses.seeds) - 1), [fast.height]])
    slow = optimize.least_squares(squares, start)
    np.testing.assert_allclose(slow.x[: len(fast.theta)], fast.theta, atol=1e-4)
    assert 2 * slow.cost == pytest.approx(fast.residuals @ fast.residuals, rel=1e-6)


def test_the_jackknife_is_close_to_leaving_each_curve_out_for_real():
    _, losses = planted_losses(4, noise=0.1)
    surface = loss_surface.fit(losses)
    slopes = []
    for number in np.unique(losses.curve):
        some = losses.where(losses.curve != number)
        again = loss_surface._fitted(some, surface.law, surface.weights[losses.curve != number],
                              surface.prior, surface.theta)  # fmt: skip
        slopes.append(again.parameters[1] - surface.parameters[1])
    slow = (len(slopes) - 1) / len(slopes) * np.square(slopes).sum()
    assert surface_inference.jackknife(surface)[1, 1] == pytest.approx(slow, rel=0.1)


def test_its_standard_error_is_the_spread_of_the_estimates():
    draw, losses = planted_losses(noise=0.1)
    mean = (losses.x - draw.exponent * losses.centred[losses.batch]) ** 2
    found = []
    for seed in range(60):
        noisy = mean + np.random.default_rng(seed).normal(0, 0.1, len(mean))
        surface = loss_surface.fit(dataclasses.replace(losses, y=noisy))
        found.append((surface.parameters[1], surface_inference.jackknife(surface)[1, 1]))
    slopes, variances = np.array(found).T
    assert slopes.mean() == pytest.approx(draw.exponent, abs=3 * slopes.std() / 60**0.5)
    assert np.mean(variances) == pytest.approx(np.var(slopes, ddof=1), rel=0.5)


def test_a_shape_that_is_not_a_bowl_is_detected():
    _, losses = planted_losses(5, noise=0.02)
    assert surface_inference.lack_of_fit(loss_surface.fit(losses)) > 0.001
    bent = np.where(losses.x > losses.x.mean() + 1, 0.5 * losses.y.max(), losses.y)
    assert (
        surface_inference.lack_of_fit(loss_surface.fit(dataclasses.replace(losses, y=bent))) < 0.001
    )


def test_each_side_of_a_bowl_is_judged_separately():
    _, losses = planted_losses(6, noise=0.05)
    surface = loss_surface.fit(losses)
    assert min(surface_inference.side_t_values(surface)) > 5
    left = losses.where(losses.x < surface.optima[losses.batch])
    assert surface_inference.side_t_values(loss_surface.fit(left))[1] < 2


def test_noise_that_grows_to_the_right_is_weighted_and_equal_noise_is_not():
    grows = [
        np.ptp(loss_surface.fit(planted_losses(i, "curved")[1]).weights) > 0 for i in range(20)
    ]
    equal = [np.ptp(loss_surface.fit(planted_losses(i, "wide")[1]).weights) > 0 for i in range(20)]
    assert sum(grows) >= 15
    assert sum(equal) <= 5


def test_seeds_that_share_an_optimum_are_distinguished_from_those_that_do_not():
    def share(family: str, moves: str) -> float:
        draws = [planted_losses(seed, family, seeds=4) for seed in range(60)]
        kept = [losses for draw, losses in draws if draw.moves == moves]
        return float(
            np.mean(
                [surface_inference.seeds_agree(loss_surface.fit(losses)) < 0.05 for losses in kept]
            )
        )

    assert share("wide", "") <= stats.binom.ppf(0.995, 60, 0.05) / 60
    assert share("moving", "seed") > 0.9


def test_one_seed_agrees_with_itself():
    _, losses = planted_losses(seeds=1)
    assert surface_inference.seeds_agree(loss_surface.fit(losses)) == 1.0


def test_a_landscape_without_a_bowl_leaves_the_seeds_shifts_open():
    for draw in range(40):
        rows = planted.null(np.random.default_rng(draw), "flat_with_bad_runs")
        assert (
            0 <= surface_inference.seeds_agree(loss_surface.fit(loss_surface.Losses.of(rows))) <= 1
        )
