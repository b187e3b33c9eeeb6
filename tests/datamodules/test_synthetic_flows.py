"""Synthetic windows before and after a drift, with a known best accuracy."""

import pytest
import torch
from flows import flows, identity
from sklearn.linear_model import LogisticRegression

NO_SHIFT = {"drift": 0.0, "imbalance": 1.0}
MANY = {"query_windows": 4_000, "source_windows": 4_000, "heldout_windows": 1}


def features(windows: torch.Tensor) -> torch.Tensor:
    return torch.cat([windows.mean(1), windows.std(1)], dim=1)


def test_sizes_are_those_of_the_config():
    made = flows().draw(None, 0)
    assert len(made.clients) == 10
    assert made.pooled.windows.shape == (300, 30, 23)
    assert made.query.windows.shape == made.heldout.windows.shape == (750, 30, 23)
    assert made.query.windows.dtype == torch.float32
    assert made.checks["leak_windows"] == made.checks["leak_records"] == 0


def test_without_shift_query_and_source_have_the_same_distribution():
    made = flows(**NO_SHIFT, **MANY).draw(None, 0)
    shares = [part.labels.bincount(minlength=5) / 4_000 for part in (made.source, made.query)]
    assert torch.allclose(*shares, atol=0.035)  # 3.5 standard deviations of the difference
    for statistic in (lambda w: w.flatten(0, 1).mean(0), lambda w: w.flatten(0, 1).std(0)):
        assert torch.allclose(
            statistic(made.source.windows), statistic(made.query.windows), atol=0.12
        )
    both = torch.cat([features(made.source.windows), features(made.query.windows)])
    which = torch.arange(2).repeat_interleave(4_000)
    order = torch.randperm(8_000, generator=torch.Generator().manual_seed(0))
    known, asked = order[:6_000], order[6_000:]
    fitted = LogisticRegression(max_iter=1_000).fit(both[known], which[known])
    assert abs(fitted.score(both[asked], which[asked]) - 0.5) < 0.04  # cannot tell them apart


def test_a_drift_moves_means_and_scales_as_far_as_it_says():
    still, moved = (
        flows(drift=d, features=100, offset=0.0, query_windows=1_000) for d in (0.0, 2.0)
    )
    before, after = (f.draw(None, 0).query for f in (still, moved))
    assert torch.equal(before.labels, after.labels)
    x, y = before.windows[:, 0], after.windows[:, 0]
    factors = y.std(0) / x.std(0)
    shifts = y.mean(0) - factors * x.mean(0)
    assert torch.allclose(x * factors + shifts, y, atol=1e-2)  # one map for all classes
    assert shifts.std() == pytest.approx(2 * 0.7, rel=0.25)
    assert factors.log().std() == pytest.approx(2 * 0.25, rel=0.25)
    assert torch.equal(still.draw(None, 0).source.windows, moved.draw(None, 0).source.windows)


def test_folds_share_everything_but_query_and_heldout():
    first, second = (flows().draw(None, fold) for fold in (0, 1))
    assert identity(first.clients) == identity(second.clients)
    assert torch.equal(first.source.windows, second.source.windows)
    assert first.best_accuracy == second.best_accuracy
    assert not torch.equal(first.query.windows, second.query.windows)
    assert not torch.equal(first.heldout.windows, second.heldout.windows)


def test_shifts_share_their_clients_and_seeds_share_nothing():
    same = [flows(**c).draw(None, 0) for c in ({}, NO_SHIFT, {"imbalance": 20.0})]
    assert len({identity(made.clients) for made in same}) == 1
    assert len({identity(made.parts().values()) for made in same}) == 3
    assert identity(flows(seed=1).draw(None, 0).clients) != identity(same[0].clients)


def test_the_class_mix_of_the_query_falls_as_steeply_as_it_says():
    made = flows(imbalance=20.0, **MANY).draw(None, 0)
    shares = flows(imbalance=20.0).query_shares()
    assert shares[0] / shares[-1] == pytest.approx(20.0, rel=1e-5)
    assert torch.allclose(made.query.labels.bincount() / 4_000, shares, atol=0.025)
    assert (made.source.labels.bincount() / 4_000).max() < 0.23


def test_a_class_can_be_unseen_by_all_but_the_query():
    made = flows(unseen_class=2).draw(None, 0)
    assert 2 not in made.pooled.labels
    assert 2 not in made.source.labels
    assert (made.query.labels == 2).sum() > 50
    assert made.classes == 5


def test_clients_have_skewed_labels_and_all_have_windows():
    made = flows(alpha=0.1).draw(None, 0)
    largest = [client.labels.bincount().max() / len(client.labels) for client in made.clients]
    assert sum(largest) / 10 > 0.5
    even = flows(alpha=float("inf")).draw(None, 0)
    largest = [client.labels.bincount().max() / len(client.labels) for client in even.clients]
    assert sum(largest) / 10 < 0.3


def test_a_fitted_classifier_comes_near_the_best_accuracy_and_never_exceeds_it():
    made = flows(client_windows=4_000, best_windows=4_000, **NO_SHIFT, **MANY).draw(None, 0)
    fitted = LogisticRegression(max_iter=2_000).fit(
        features(made.pooled.windows), made.pooled.labels
    )
    reached = fitted.score(features(made.query.windows), made.query.labels)
    spread = (made.best_accuracy_se**2 + reached * (1 - reached) / 4_000) ** 0.5
    assert 0.85 < reached < made.best_accuracy + 3 * spread
    assert 0.93 < made.best_accuracy < 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_moderate_drift_costs_a_source_classifier_what_an_unmoved_query_does_not(seed):
    settings = {"seed": seed, "client_windows": 1_500}
    made = flows(**settings).draw(None, 0)
    fitted = LogisticRegression(max_iter=2_000).fit(
        features(made.pooled.windows), made.pooled.labels
    )

    def accuracy(part) -> float:
        return fitted.score(features(part.windows), part.labels)

    still = flows(**settings, **NO_SHIFT).draw(None, 0)
    assert accuracy(made.query) < accuracy(still.query) - 0.03
    assert accuracy(still.query) > 0.8


def test_a_population_is_drawn_once_for_equal_settings():
    assert flows().draw(None, 0) is flows().draw(None, 0)


def test_synthetic_data_have_no_path():
    with pytest.raises(ValueError, match="path=here must be null"):
        flows().fingerprint("here")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": 1}, "classes=1 must be at least 2"),
        ({"length": 1}, "length=1 must be at least 2"),
        ({"query_windows": 0}, "query_windows=0 must be at least 1"),
        ({"drift": -1.0}, "drift=-1.0 must be finite and not negative"),
        ({"drift": float("nan")}, "drift=nan must be finite"),
        ({"modulus": 1.0}, r"modulus=1.0 must lie in \[0, 1\)"),
        ({"detuning": 0.8}, "detuning=0.8 must be below pi / 4"),
        ({"alpha": 0.0}, "alpha=0.0 must be positive"),
        ({"imbalance": 0.5}, "imbalance=0.5 must be finite and at least 1"),
        ({"clients": 301}, "clients=301 must be at most client_windows=300"),
        ({"clients": 0}, "clients=0 must be at least 1"),
        ({"unseen_class": 5}, "unseen_class=5 must be null or 0 to 4"),
        ({"unseen_class": 0, "classes": 2}, "unseen_class=0 leaves clients only one class"),
    ],
)
def test_an_impossible_population_is_refused_with_its_key(changes, said):
    with pytest.raises(ValueError, match=said):
        flows(**changes)
