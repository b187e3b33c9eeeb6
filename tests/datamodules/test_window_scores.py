"""Scores of logits against scikit-learn's, and where they are bounded."""

import math

import pytest
import torch
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef

from scaling.datamodules.window_scores import window_scores


def test_scores_are_those_of_another_library():
    draws = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 4, generator=draws), torch.randint(4, (200,), generator=draws)
    found, predicted = window_scores(logits, labels), logits.argmax(1)
    assert found["accuracy"] == pytest.approx((predicted == labels).float().mean().item())
    assert found["f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, predicted), abs=1e-6)
    probabilities = logits.double().softmax(1)
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    chosen = -probabilities.log()[torch.arange(200), labels]
    assert found["loss_se"] == pytest.approx((chosen.std() / 200**0.5).item(), rel=1e-4)


def test_perfect_and_constant_predictions_are_the_bounds():
    labels = torch.tensor([0, 1, 1, 2])
    perfect = window_scores(50.0 * torch.nn.functional.one_hot(labels, 3), labels)
    assert [perfect[name] for name in ("accuracy", "f1", "mcc", "loss")] == [1, 1, 1, 0]
    constant = window_scores(torch.tensor([[0.0, 0.5, 0.0]]).expand(4, 3), labels)
    assert (constant["accuracy"], constant["mcc"]) == (0.5, 0)


@pytest.mark.parametrize("always", [0, 1])
@pytest.mark.parametrize("ones", [1, 2, 9])
def test_one_of_two_classes_for_all_has_no_correlation(always, ones):
    labels = (torch.arange(10) < ones).long()
    found = window_scores(torch.eye(2)[torch.full((10,), always)], labels)
    assert found["mcc"] == 0 == matthews_corrcoef(labels, [always] * 10)


def test_the_correlation_of_two_classes_is_that_of_another_library():
    draws = torch.Generator().manual_seed(1)
    labels = (torch.rand(90, generator=draws) < 0.2).long()
    logits = torch.randn(90, 2, generator=draws) + torch.eye(2)[labels]
    expected = matthews_corrcoef(labels, logits.argmax(1))
    assert window_scores(logits, labels)["mcc"] == pytest.approx(expected)
    assert window_scores(-logits, labels)["mcc"] == pytest.approx(-expected)


def test_uniform_predictions_lose_the_log_of_the_number_of_classes():
    found = window_scores(torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1]))
    assert found["loss"] == pytest.approx(math.log(3))


def test_f1_is_over_the_classes_that_occur():
    found = window_scores(torch.eye(5)[[0, 1]], torch.tensor([0, 1]))
    assert found["f1"] == 1


def test_a_single_window_has_no_standard_error():
    assert "loss_se" not in window_scores(torch.zeros(1, 3), torch.tensor([0]))


def test_logits_that_do_not_fit_the_labels_are_refused():
    with pytest.raises(ValueError, match="3 windows have logits and 4 have labels"):
        window_scores(torch.zeros(3, 2), torch.zeros(4, dtype=torch.long))
