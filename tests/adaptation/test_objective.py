"""The objective of adaptation against its parts, and against the study's own formulas."""

import math

import pytest
import torch
from adapting import ENTROPY, MAXIMISATION, OBJECTIVES, STUDY

from scaling.adaptation import losses
from scaling.adaptation.objective import Objective


def log_probs(scale: float = 2.0, n: int = 12, classes: int = 4) -> torch.Tensor:
    draws = torch.Generator().manual_seed(3)
    logits = scale * torch.randn(n, classes, generator=draws, dtype=torch.float64)
    return logits.log_softmax(dim=1)


def test_information_maximisation_is_the_one_of_the_literature():
    predictions = log_probs()
    objective = Objective(**MAXIMISATION)
    want = losses.entropies(predictions).mean() + losses.diversity_loss(predictions)
    assert objective.loss(objective.terms(predictions)).item() == pytest.approx(want.item())


def by_the_study(found: torch.Tensor, base: float) -> float:
    """The objective of the published code, with its constants."""
    p = found.exp()
    mean = p.mean(dim=0)
    entropies = -(p * (p + 1e-8).log()).sum(dim=1)
    weights = 1 / (mean + 1e-8)
    weights = weights / weights.sum() * len(mean)
    entropy = (weights[p.argmax(dim=1)] * entropies).mean()
    share = -(mean * (mean + 1e-8).log()).sum() / math.log(len(mean))
    weight = base if share >= 0.85 else min(base + 0.5 * (0.85 - float(share)), 0.3)
    return max(float(entropy + weight * (1 - share)), 1e-6)


@pytest.mark.parametrize("shift", [0.0, 2.0, 4.0])
def test_the_studys_objective_is_that_of_its_code(shift):
    found = log_probs() + shift * torch.eye(4, dtype=torch.float64)[0]
    found = found.log_softmax(dim=1)
    objective = Objective(**STUDY)
    got = objective.loss(objective.terms(found))
    assert got.item() == pytest.approx(by_the_study(found, 0.1), rel=1e-6)


def test_one_sided_predictions_raise_the_adaptive_weight():
    balanced = torch.eye(4, dtype=torch.float64).mul(4).log_softmax(dim=1)
    one_sided = balanced[[0, 0, 0, 1]]
    objective = Objective(**STUDY)
    assert objective.terms(balanced).weight == pytest.approx(0.1)
    assert 0.1 < objective.terms(one_sided).weight <= 0.3


def test_without_a_margin_all_predictions_are_kept():
    assert Objective(**ENTROPY).terms(log_probs()).kept == 1


def test_a_margin_learns_from_confident_predictions_only():
    found = log_probs(scale=3.0)
    sure = found[losses.entropies(found) < 0.4 * math.log(4)]
    assert 0 < len(sure) < len(found)
    terms = Objective(**ENTROPY | {"margin": 0.4}).terms(found)
    assert terms.kept.item() == pytest.approx(len(sure) / len(found))
    assert terms.entropy.item() == pytest.approx(losses.entropies(sure).mean().item())
    assert terms.diversity.item() == pytest.approx(losses.normalised_diversity_loss(found).item())
    assert terms.mean_entropy.item() == pytest.approx(losses.entropies(found).mean().item())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_without_confident_predictions_the_entropy_is_zero_and_has_no_gradient(name):
    logits = torch.zeros(6, 4, requires_grad=True)
    terms = Objective(**OBJECTIVES[name] | {"margin": 0.4}).terms(logits.log_softmax(dim=1))
    assert terms.kept == 0
    (gradient,) = torch.autograd.grad(terms.entropy, logits)
    assert terms.entropy == 0
    assert (gradient == 0).all()


def test_below_the_floor_there_is_no_gradient():
    sure = torch.eye(4, dtype=torch.float64).mul(60).log_softmax(dim=1)
    for floor, loss, slope in ((None, 0.0, 1.0), (1e-6, 1e-6, 0.0)):
        objective = Objective(**STUDY | {"floor": floor})
        terms = objective.terms(sure)
        assert objective.loss(terms).item() == pytest.approx(loss, abs=1e-12)
        assert objective.slope(terms) == slope


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entropy": "max"}, "entropy=max must be one of mean, class_weighted"),
        ({"diversity": "gini"}, "diversity=gini must be one of entropy, normalised"),
        ({"weight": -0.1}, "weight=-0.1 must be finite and at least 0"),
        ({"weight": math.nan}, "weight=nan must be finite"),
        ({"weight_gain": None}, "weight_gain=None must be a number"),
        ({"weight_threshold": 1.5}, "weight_threshold=1.5 must lie between 0 and 1"),
        ({"weight_gain": -1.0}, "weight_gain=-1.0 must be finite"),
        ({"weight_ceiling": 0.05}, "weight_ceiling=0.05 must be finite and at least weight=0.1"),
        ({"floor": math.inf}, "floor=inf must be finite"),
        ({"margin": 0.0}, "margin=0.0 must lie between 0 and 1"),
        ({"margin": 2.0}, "margin=2.0 must lie between 0 and 1"),
    ],
)
def test_an_invalid_setting_is_refused_by_its_key(changes, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        Objective(**STUDY | changes)
