"""N-gram losses against counting by hand, and against sources whose entropy is known."""

import math
from collections import Counter

import pytest
import torch

from scaling.datamodules.ngrams import ORDERS, ngram_losses


def slow_losses(train: list[int], text: list[int], targets: list[int], v: int) -> list[float]:
    """Orders 0 to 5, recursively and by dictionaries."""
    counts = {n: Counter(zip(*(train[i:] for i in range(n)), strict=False)) for n in range(1, 6)}

    def p(history: tuple[int, ...], token: int) -> float:
        if not history:
            return (counts[1][token,] + 1) / (len(train) + v)
        after = {c: counts[len(history) + 1][*history, c] for c in range(v)}
        seen, kinds = sum(after.values()), sum(count > 0 for count in after.values())
        below = p(history[1:], token)
        return (after[token] + kinds * below) / (seen + kinds) if seen else below

    losses = [math.log(v)]
    for back in range(5):
        some = [p(tuple(text[max(0, at - back) : at]), text[at]) for at in targets]
        losses.append(-sum(map(math.log, some)) / len(some))
    return losses


def test_losses_equal_counting_by_hand():
    draws = torch.Generator().manual_seed(0)
    train = torch.randint(4, (300,), generator=draws)  # token 4 of 5 is never seen
    text = torch.randint(5, (80,), generator=draws)
    targets = torch.arange(80)[::2]  # the first ones have too few before them
    got = ngram_losses(train, text, targets, vocabulary=5)
    assert tuple(got) == ORDERS
    want = slow_losses(train.tolist(), text.tolist(), targets.tolist(), 5)
    assert list(got.values()) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_the_probabilities_after_each_history_sum_to_one(order):
    train = torch.tensor([0, 1, 0, 2, 0, 1, 1, 0, 2, 2, 0])
    for history in ([0, 1, 0, 2], [1, 1, 1, 1], [2, 2, 0, 1], [3, 3, 3, 3]):  # 3 is never seen
        losses = [
            ngram_losses(
                train, torch.tensor([*history, token]), torch.tensor([4]), vocabulary=4,
                orders=order,
            )[ORDERS[order]]
            for token in range(4)
        ]  # fmt: skip
        assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)


def test_uniform_tokens_have_nothing_to_count():
    draws = torch.Generator().manual_seed(0)
    train, text = (torch.randint(8, (400_000,), generator=draws) for _ in range(2))
    got = ngram_losses(train, text, torch.arange(len(text)), vocabulary=8, orders=3)
    assert got["uniform"] == math.log(8)
    assert got["unigram"] == pytest.approx(math.log(8), abs=1e-3)
    assert got["bigram"] == pytest.approx(math.log(8), abs=1e-3)
    assert got["trigram"] == pytest.approx(math.log(8), abs=2e-3)


def test_a_large_vocabulary_takes_no_memory_for_pairs_that_do_not_occur():
    text = torch.arange(100_000) % 90_000
    got = ngram_losses(text, text, torch.arange(1, 100_000), vocabulary=100_000)
    assert got["bigram"] < 1  # 80 GB as a dense table


def test_a_cycle_is_known_from_its_pairs():
    cycle = torch.arange(30_000) % 3
    got = ngram_losses(cycle, cycle, torch.arange(1, 30_000), vocabulary=3)
    assert got["unigram"] == pytest.approx(math.log(3), abs=1e-6)
    assert got["bigram"] == pytest.approx(0, abs=1e-3)


def test_a_pattern_of_three_is_known_from_its_triples():
    pattern = torch.tensor([0, 0, 1, 1]).repeat(10_000)  # after 0 comes 0 as often as 1
    got = ngram_losses(pattern, pattern, torch.arange(2, 40_000), vocabulary=2)
    assert got["bigram"] == pytest.approx(math.log(2), abs=1e-3)
    assert got["trigram"] == pytest.approx(0, abs=1e-3)


def test_empty_counts_are_refused():
    nothing = torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="cannot count 0 tokens"):
        ngram_losses(nothing, nothing, nothing, vocabulary=3)
