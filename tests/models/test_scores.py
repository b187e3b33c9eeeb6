"""Losses and accuracies of a set of examples."""

import pytest
import torch

from scaling.models.scores import accuracy_scores, loss_scores

LOGITS = torch.eye(4)[torch.tensor([0, 1, 2, 3, 3, 1])]  # what is predicted
LABELS = torch.tensor([0, 1, 0, 3, 2, 0])
TRUTH = torch.tensor([0, 2, 0, 3, 3, 0])  # two labels are wrong: one is reproduced, one is not


def test_clean_and_corrupted_examples_are_scored_apart():
    scores = {name: value.item() for name, value in accuracy_scores(LOGITS, LABELS, TRUTH).items()}
    assert scores == pytest.approx(
        {
            "accuracy": 3 / 6,
            "accuracy_clean": 2 / 4,
            "accuracy_corrupted": 1 / 2,
            "accuracy_true": 1 / 2,
        }
    )


def test_without_corruption_there_is_one_accuracy_and_nothing_is_zero_for_lack_of_examples():
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
