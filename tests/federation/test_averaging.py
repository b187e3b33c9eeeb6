"""Examples divided among clients with skewed labels."""

import numpy as np
import pytest

from scaling.datamodules.partition import dirichlet_partition

LABELS = np.repeat(np.arange(5), 200)


def shares(parts: list[np.ndarray]) -> np.ndarray:
    """Share of each client in each class."""
    return np.array([np.bincount(LABELS[part], minlength=5) for part in parts]) / 200


def test_every_example_has_exactly_one_client():
    parts = dirichlet_partition(LABELS, 10, 0.5, np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert len(parts) == 10


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_the_shares_of_clients_have_the_moments_of_a_dirichlet_distribution(alpha):
    draws, clients = np.random.default_rng(1), 4
    found = np.stack(
        [shares(dirichlet_partition(LABELS, clients, alpha, draws)) for _ in range(400)]
    )
    assert found.mean() == pytest.approx(1 / clients)
    variance = (clients - 1) / (clients**2 * (clients * alpha + 1))
    assert found.var() == pytest.approx(variance, rel=0.1)


def test_without_skew_all_clients_have_the_same_share_of_every_class():
    parts = dirichlet_partition(LABELS, 10, float("inf"), np.random.default_rng(0))
    assert (shares(parts) == 0.1).all()


@pytest.mark.parametrize("clients", [1, 7, 30])
def test_no_client_is_left_without_an_example(clients):
    labels = np.repeat([0, 1], 15)
    for seed in range(20):
        parts = dirichlet_partition(labels, clients, 0.05, np.random.default_rng(seed))
        assert min(len(part) for part in parts) >= 1
        assert sorted(np.concatenate(parts).tolist()) == list(range(30))


def test_the_division_follows_from_the_generator_alone():
    one, two = (dirichlet_partition(LABELS, 10, 0.5, np.random.default_rng(3)) for _ in range(2))
    other = dirichlet_partition(LABELS, 10, 0.5, np.random.default_rng(4))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("clients", "alpha", "said"),
    [
        (1001, 0.5, "clients=1001 must be from 1 to the number of examples, 1000"),
        (0, 0.5, "clients=0 must be from 1"),
        (10, 0.0, "alpha=0.0 must be positive"),
        (10, float("nan"), "alpha=nan must be positive"),
    ],
)
def test_an_impossible_division_is_refused(clients, alpha, said):
    with pytest.raises(ValueError, match=said):
        dirichlet_partition(LABELS, clients, alpha, np.random.default_rng(0))
