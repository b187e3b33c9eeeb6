"""Gaussian time series: draws that fit their densities, and the best possible classifier."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from scaling.datamodules.oscillators import Oscillators, best_accuracy, oscillators

EVEN = torch.full((3,), 1 / 3)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(**changes) -> Oscillators:
    settings = {"separation": 0.7, "detuning": 0.4, "modulus": 0.9, "offset": 0.8} | changes
    return oscillators(3, 4, **settings, draws=draws(7))


def covariance(made: Oscillators, c: int, length: int) -> torch.Tensor:
    """Covariance of a window's values, from the Yule-Walker autocorrelations."""
    rho = [torch.ones_like(made.first[c]), made.lag[c]]
    for _ in range(length - 2):
        rho.append(made.first[c] * rho[-1] + made.second[c] * rho[-2])
    correlation = torch.stack([torch.stack(rho)[abs(s - t)] for s in range(length)
                               for t in range(length)]).reshape(length, length, -1)  # fmt: skip
    total = torch.einsum("stj,ij,kj->sitk", correlation, made.mixing, made.mixing)
    total += made.offset**2 * torch.eye(len(made.mixing))[None, :, None, :]
    return total.reshape(length * len(made.mixing), -1).double()


@pytest.mark.parametrize("offset", [0.0, 0.8])
def test_densities_are_those_of_a_multivariate_normal_distribution(offset):
    made = model(offset=offset)
    windows = made.draw(torch.tensor([0, 1, 2, 2]), 6, draws())
    slow = torch.stack(
        [
            torch.distributions.MultivariateNormal(
                made.means[c].repeat(6).double(), covariance(made, c, 6)
            ).log_prob(windows.flatten(1).double())
            for c in range(3)
        ],
        dim=1,
    )
    fast = made.log_densities(windows).double()
    assert torch.allclose(fast - fast[:, :1], slow - slow[:, :1], rtol=1e-5, atol=1e-2)


def test_series_have_the_mean_and_covariance_of_their_class():
    made = model()
    for c in range(3):
        windows = made.draw(torch.full((20_000,), c), 3, draws(c)).flatten(1).double()
        assert torch.allclose(windows.mean(0), made.means[c].repeat(3).double(), atol=0.05)
        assert torch.allclose(windows.T.cov(), covariance(made, c, 3), atol=0.08)


def test_a_step_alone_has_the_same_covariance_in_all_classes():
    made = model()
    expected = (1 + made.offset**2) * torch.eye(4).double()
    for c in range(3):
        assert torch.allclose(covariance(made, c, 3)[:4, :4], expected, atol=1e-5)


def test_classes_differ_in_the_frequency_of_one_channel_only():
    made = model()
    assert len(set(made.first[:, 0].tolist())) == 3
    assert (made.first[:, 1:] == made.first[0, 1:]).all()


def test_the_best_accuracy_on_two_classes_with_different_means_has_a_closed_form():
    made = oscillators(2, 4, separation=0.5, detuning=0.0, modulus=0.0, offset=0.0, draws=draws(1))
    distance = (made.means[0] - made.means[1]).norm().item() * 5**0.5
    closed = 0.5 * (1 + math.erf(distance / 2 / 2**0.5))
    accuracy, error = best_accuracy(made, torch.tensor([0.5, 0.5]), 5, 20_000, draws())
    assert accuracy == pytest.approx(closed, abs=4 * error)
    assert error < 0.002


def test_classes_that_do_not_differ_are_guessed_by_their_shares():
    made = model(separation=0.0, detuning=0.0)
    accuracy, error = best_accuracy(made, torch.tensor([0.6, 0.3, 0.1]), 5, 100, draws())
    assert accuracy == pytest.approx(0.6)
    assert error == pytest.approx(0.0, abs=1e-6)


def test_the_best_accuracy_is_that_of_the_most_probable_class_with_a_correct_error():
    made, zs = model(), []
    for seed in range(20):
        accuracy, error = best_accuracy(made, EVEN, 8, 400, draws(seed))
        labels = torch.randint(3, (20_000,), generator=draws(99))
        if not zs:
            windows = made.draw(labels, 8, draws(98))
            hits = (made.log_densities(windows).argmax(1) == labels).double().mean().item()
        zs.append((accuracy - hits) / error)
    assert abs(sum(zs) / len(zs)) < 1.5  # hits have an error, too
    assert 0.5 < torch.tensor(zs).std() < 1.6


def test_no_fitted_classifier_exceeds_the_best_accuracy():
    made = model(separation=0.5)
    labels = torch.randint(3, (6_000,), generator=draws(1))
    windows = made.draw(labels, 8, draws(2))
    half = slice(None, 3_000), slice(3_000, None)
    lagged = (windows[:, 1:] * windows[:, :-1]).flatten(1)
    features = torch.cat([windows.flatten(1), lagged], dim=1)
    fitted = LogisticRegression(max_iter=2_000).fit(features[half[0]], labels[half[0]])
    reached = fitted.score(features[half[1]], labels[half[1]])
    accuracy, error = best_accuracy(made, EVEN, 8, 10_000, draws(3))
    margin = 3 * (error**2 + reached * (1 - reached) / 3_000) ** 0.5
    assert 0.5 < reached < accuracy + margin


def test_an_invertible_map_that_all_classes_share_leaves_the_most_probable_class():
    made = model()
    windows = made.draw(torch.arange(3).repeat(50), 8, draws())
    turned = made._replace(means=made.means + 3.0)
    moved = turned.log_densities(windows + 3.0)
    assert torch.equal(made.log_densities(windows).argmax(1), moved.argmax(1))
