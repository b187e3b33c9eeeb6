"""Symmetric label noise: how many, which, and into what."""

import pytest
import torch

from scaling.datamodules.label_noise import Labels, symmetric


def noisy(share: float, seed: int = 0, examples: int = 90_000) -> Labels:
    true = torch.arange(examples) % 10
    return symmetric(true, classes=10, share=share, seed=seed)


@pytest.mark.parametrize(("share", "examples"), [(0.0, 100), (0.2, 1000), (0.4, 997), (0.999, 50)])
def test_exactly_the_share_asked_for_is_wrong_and_a_new_label_is_never_the_true_one(
    share, examples
):
    labels = noisy(share, examples=examples)
    assert labels.corrupted.sum() == round(share * examples)
    assert labels.given.min() >= 0
    assert labels.given.max() <= 9


def test_true_labels_are_kept():
    labels = noisy(0.4)
    assert torch.equal(labels.true, torch.arange(90_000) % 10)
    assert torch.equal(labels.given[~labels.corrupted], labels.true[~labels.corrupted])


def test_new_labels_are_uniform_among_the_other_classes():
    labels = noisy(0.5)
    pairs = torch.bincount(labels.true * 10 + labels.given, minlength=100).view(10, 10)
    expected = 45_000 / 90
    off = ~torch.eye(10, dtype=torch.bool)
    assert ((pairs[off] - expected).abs() < 5 * expected**0.5).all()
    assert (pairs[~off] - 4_500).abs().max() < 5 * (9_000 * 0.25) ** 0.5


def test_the_seed_draws_the_noise_again_and_another_seed_draws_another():
    first, again, other = noisy(0.2), noisy(0.2), noisy(0.2, seed=1)
    assert torch.equal(first.given, again.given)
    both = (first.corrupted & other.corrupted).float().mean().item()
    assert both == pytest.approx(0.04, abs=5 * (0.04 * 0.96 / 90_000) ** 0.5)


def test_a_larger_share_adds_to_the_wrong_labels_of_a_smaller_one():
    few, many = noisy(0.2), noisy(0.4)
    assert torch.equal(few.given[few.corrupted], many.given[few.corrupted])
    assert many.corrupted.sum() == 2 * few.corrupted.sum()


@pytest.mark.parametrize("share", [1.5, 1.0, -0.1, float("nan")])
def test_an_invalid_share_is_refused(share):
    with pytest.raises(ValueError, match=rf"label_noise={share} must lie in \[0, 1\)"):
        noisy(share)
