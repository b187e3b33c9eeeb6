"""Scores of a set of examples, by hand and by scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef

from scaling.contracts.scores import accuracy_scores, loss_scores, window_scores

LOGITS = torch.eye(4)[torch.tensor([0, 1, 2, 3, 3, 1])]  # what is predicted
LABELS = torch.tensor([0, 1, 0, 3, 2, 0])
TRUTH = torch.tensor([0, 2, 0, 3, 3, 0])  # two labels are wrong: one is reproduced, one is not


def test_clean_and_corrupted_examples_are_scored_separately():
    scores = {name: value.item() for name, value in accuracy_scores(LOGITS, LABELS, TRUTH).items()}
    assert scores == pytest.approx(
        {
            "accuracy": 3 / 6,
            "accuracy_clean": 2 / 4,
            "accuracy_corrupted": 1 / 2,
            "accuracy_true": 1 / 2,
        }
    )


def test_without_corruption_there_is_one_accuracy_and_no_zero_for_missing_examples():
    assert accuracy_scores(LOGITS, LABELS, LABELS).keys() == {"accuracy"}
    wrong = accuracy_scores(LOGITS, LABELS, (LABELS + 1) % 4)
    assert wrong.keys() == {"accuracy", "accuracy_corrupted", "accuracy_true"}


def test_scores_equal_counting_by_hand():
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 10, generator=draws)
    labels, truth = (torch.randint(10, (200,), generator=draws) for _ in range(2))
    counted = {"accuracy": [], "accuracy_clean": [], "accuracy_corrupted": [], "accuracy_true": []}
    for scored, label, true in zip(logits.tolist(), labels.tolist(), truth.tolist(), strict=True):
        predicted = scored.index(max(scored))
        counted["accuracy"].append(predicted == label)
        if label == true:
            counted["accuracy_clean"].append(predicted == label)
        else:
            counted["accuracy_corrupted"].append(predicted == label)
            counted["accuracy_true"].append(predicted == true)
    scores = accuracy_scores(logits, labels, truth)
    assert scores.keys() == counted.keys()
    for name, hits in counted.items():
        assert scores[name].item() == pytest.approx(sum(hits) / len(hits))


def test_a_guesser_reproduces_wrong_labels_at_the_rate_of_chance():
    draws = torch.Generator().manual_seed(0)
    truth = torch.randint(10, (50_000,), generator=draws)
    labels = (truth + torch.randint(1, 10, (50_000,), generator=draws)) % 10
    scores = accuracy_scores(torch.randn(50_000, 10, generator=draws), labels, truth)
    for name in ("accuracy_corrupted", "accuracy_true"):
        assert scores[name].item() == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / 50_000) ** 0.5)


def test_the_mean_loss_has_the_error_of_a_mean():
    losses = torch.tensor([1.0, 2.0, 3.0, 6.0])
    scores = loss_scores(losses)
    assert scores["loss"].item() == 3.0
    assert scores["loss_se"].item() == pytest.approx((14 / 3) ** 0.5 / 2)
    assert loss_scores(losses[:1]).keys() == {"loss"}


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


def test_a_single_class_in_labels_and_predictions_has_no_correlation():
    assert window_scores(torch.eye(3)[[1, 1]], torch.tensor([1, 1]))["mcc"] == 0


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
