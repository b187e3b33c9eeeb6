"""Losses of adaptation: identities, limits of collapse, slow references, numerical gradients."""

import math

import pytest
import torch
from adapting import MAXIMISATION
from jaxtyping import Float
from torch import Tensor

from scaling.adaptation.losses import (
    adaptive_weight,
    below_margin,
    class_entropy,
    class_shares,
    class_weighted_entropy,
    class_weights,
    diversity_loss,
    diversity_share,
    entropies,
    mean_log_probs,
    normalised_diversity_loss,
)
from scaling.adaptation.objective import Objective

STUDY = {"base": 0.1, "threshold": 0.85, "gain": 0.5, "ceiling": 0.3}


def information_maximisation(log_probs: Float[Tensor, "examples classes"]) -> Float[Tensor, ""]:
    """The objective of that name: -log K if confident and balanced, 0 if all are alike."""
    objective = Objective(**MAXIMISATION)
    return objective.loss(objective.terms(log_probs))


MEANS = [
    diversity_loss,
    normalised_diversity_loss,
    information_maximisation,
    class_weighted_entropy,
    diversity_share,
    class_entropy,
]


def drawn(examples: int = 12, classes: int = 4, *, seed: int = 0, scale: float = 2.0):
    """Log-probabilities in float64."""
    draws = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(examples, classes, generator=draws, dtype=torch.float64)
    return logits.log_softmax(dim=1)


def sure(*labels: int, classes: int = 3, by: float = 50.0):
    """Predictions that are almost certain."""
    return (by * torch.eye(classes, dtype=torch.float64)[list(labels)]).log_softmax(dim=1)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_every_entropy_of_uniform_predictions_is_log_k(classes):
    log_probs = torch.zeros(7, classes).log_softmax(dim=1)
    torch.testing.assert_close(entropies(log_probs), torch.full((7,), math.log(classes)))
    assert diversity_loss(log_probs).item() == pytest.approx(-math.log(classes))
    assert diversity_share(log_probs).item() == pytest.approx(1)
    assert normalised_diversity_loss(log_probs).item() == pytest.approx(0, abs=1e-6)
    assert information_maximisation(log_probs).item() == pytest.approx(0, abs=1e-6)
    assert class_weighted_entropy(log_probs).item() == pytest.approx(math.log(classes))


def test_confident_and_balanced_is_the_minimum_and_one_class_is_zero():
    balanced, one = sure(0, 1, 2, 0, 1, 2), sure(1, 1, 1)
    assert information_maximisation(balanced).item() == pytest.approx(-math.log(3))
    assert diversity_share(balanced).item() == pytest.approx(1)
    for loss in (information_maximisation, diversity_loss, class_weighted_entropy, class_entropy):
        assert loss(one).item() == pytest.approx(0, abs=1e-12)
    assert normalised_diversity_loss(one).item() == pytest.approx(1)


def test_information_maximisation_is_minus_the_mutual_information():
    log_probs = drawn()
    p = log_probs.exp().tolist()
    examples, classes = len(p), len(p[0])
    mean = [sum(line[c] for line in p) / examples for c in range(classes)]
    information = 0.0
    for line in p:  # the joint distribution of example and class, cell by cell
        for c in range(classes):
            joint = line[c] / examples
            information += joint * math.log(joint / (mean[c] / examples))
    assert information_maximisation(log_probs).item() == pytest.approx(-information)
    torch.testing.assert_close(mean_log_probs(log_probs).exp(), torch.tensor(mean).double())


def test_the_weights_of_the_study_are_one_over_the_mean_prediction_and_sum_to_k():
    log_probs = drawn()
    p = log_probs.exp()
    inverse = 1 / p.mean(dim=0)
    weights = inverse / inverse.sum() * 4
    torch.testing.assert_close(class_weights(log_probs), weights)
    slow = sum(
        weights[line.argmax()] * -sum(x * x.log() for x in line) for line in p
    ) / len(p)  # fmt: skip
    torch.testing.assert_close(class_weighted_entropy(log_probs), slow)


def test_gradients_flow_through_the_weights_of_classes_and_not_through_that_of_diversity():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert class_weights(logits.log_softmax(dim=1)).requires_grad
    assert not adaptive_weight(logits.log_softmax(dim=1), **STUDY).requires_grad


@pytest.mark.parametrize(
    "loss",
    [
        entropies,
        diversity_loss,
        normalised_diversity_loss,
        information_maximisation,
        class_weighted_entropy,
    ],
)
def test_gradients_agree_with_numerical_ones(loss):
    logits = drawn(6, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x.log_softmax(dim=1)), logits)


def test_losses_and_gradients_of_certain_predictions_are_finite_in_float32():
    logits = torch.tensor([[300.0, 0.0, -300.0], [200.0, 0.0, 0.0]], requires_grad=True)
    for loss in (information_maximisation, class_weighted_entropy, normalised_diversity_loss):
        value = loss(logits.log_softmax(dim=1))
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", MEANS)
def test_the_order_of_examples_and_of_classes_does_not_matter(loss):
    log_probs = drawn()
    shuffled = log_probs[torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(loss(shuffled), loss(log_probs))
    torch.testing.assert_close(loss(log_probs[:, [2, 0, 3, 1]]), loss(log_probs))


def test_diversity_is_smaller_over_small_batches_and_the_entropy_is_not():
    log_probs = drawn(512, 5)
    parts = log_probs.split(16)
    small = torch.stack([diversity_share(part) for part in parts]).mean()
    assert small < diversity_share(log_probs)  # by concavity, for any predictions
    mean = torch.stack([entropies(part).mean() for part in parts]).mean()
    torch.testing.assert_close(mean, entropies(log_probs).mean())


def test_the_share_of_uniform_classes_in_a_batch_is_as_expected():
    """It is too small by (K - 1) / 2B nats in the mean, for K balanced classes (Miller, 1955)."""
    draws = torch.Generator().manual_seed(0)
    batches = [
        sure(*torch.randint(3, (64,), generator=draws).tolist(), by=99.0) for _ in range(400)
    ]
    lacking = math.log(3) + torch.stack([diversity_loss(batch) for batch in batches])
    assert lacking.mean().item() == pytest.approx(2 / 128, abs=4 * lacking.std().item() / 20)


@pytest.mark.parametrize("share", [1.0, 0.9, 0.85, 0.8, 0.6, 0.2, 0.0])
def test_the_weight_of_diversity_is_that_of_the_study(share):
    low, high = 0.0, 0.5  # two classes whose mean prediction has this entropy
    for _ in range(60):
        p = (low + high) / 2
        entropy = -(p * math.log(p) + (1 - p) * math.log1p(-p)) / math.log(2)
        low, high = (p, high) if entropy < share else (low, p)
    log_probs = torch.tensor([[p, 1 - p]] * 3).double().log()
    known = diversity_share(log_probs).item()
    slow = 0.1 if known >= 0.85 else min(0.1 + 0.5 * (0.85 - known), 0.3)
    assert adaptive_weight(log_probs, **STUDY).item() == pytest.approx(slow)
    assert slow == pytest.approx(min(0.1 + 0.5 * max(0, 0.85 - share), 0.3), abs=1e-6)


def test_the_margin_keeps_confident_predictions():
    p = torch.tensor([[0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.6, 0.39, 0.01]])
    kept = below_margin(p.log(), 0.4)
    slow = [-sum(x * math.log(x) for x in line) < 0.4 * math.log(3) for line in p.tolist()]
    assert kept.tolist() == slow == [True, False, False]
    assert below_margin(p.log(), 1.5).all()
    with pytest.raises(ValueError, match="margin=0.0 must be positive"):
        below_margin(p.log(), 0.0)


def test_classes_are_counted_and_their_entropy_taken():
    log_probs = sure(0, 0, 0, 2)
    assert class_shares(log_probs).tolist() == [0.75, 0, 0.25]
    slow = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert class_entropy(log_probs).item() == pytest.approx(slow)


@pytest.mark.parametrize("loss", [normalised_diversity_loss, class_entropy, diversity_share])
def test_a_single_class_is_refused(loss):
    with pytest.raises(ValueError, match="at least 2 classes"):
        loss(torch.zeros(3, 1))
