"""N-gram losses against counting by hand, and against sources whose entropy is known."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch

from scaling.ngrams import ngram_losses


def slow_losses(train: list[int], previous: list[int], targets: list[int], v: int) -> list[float]:
    singles, pairs = Counter(train), Counter(pairwise(train))

    def p1(b):
        return (singles[b] + 1) / (len(train) + v)

    def p2(a, b):
        seen = sum(pairs[a, c] for c in range(v))
        kinds = sum(pairs[a, c] > 0 for c in range(v))
        return (pairs[a, b] + kinds * p1(b)) / (seen + kinds) if seen else p1(b)

    scored = list(zip(previous, targets, strict=True))
    return [
        math.log(v),
        -sum(math.log(p1(b)) for _, b in scored) / len(scored),
        -sum(math.log(p2(a, b)) for a, b in scored) / len(scored),
    ]


def test_losses_equal_counting_by_hand():
    draws = torch.Generator().manual_seed(0)
    train = torch.randint(4, (60,), generator=draws)  # token 4 of 5 is never seen
    text = torch.randint(5, (40,), generator=draws)
    got = ngram_losses(train, text[:-1], text[1:], 5)
    want = slow_losses(train.tolist(), text[:-1].tolist(), text[1:].tolist(), 5)
    assert list(got) == pytest.approx(want, rel=1e-12)


def test_the_probabilities_after_each_token_sum_to_one():
    train = torch.tensor([0, 1, 0, 2, 0, 1])
    for previous in range(4):  # 3 is never seen
        everything = torch.arange(4)
        each = [
            ngram_losses(train, torch.tensor([previous]), everything[b : b + 1], 4).bigram
            for b in range(4)
        ]
        assert sum(math.exp(-loss) for loss in each) == pytest.approx(1)


def test_uniform_tokens_leave_nothing_to_count():
    draws = torch.Generator().manual_seed(0)
    train, text = (torch.randint(8, (200_000,), generator=draws) for _ in range(2))
    got = ngram_losses(train, text[:-1], text[1:], 8)
    assert got.uniform == math.log(8)
    assert got.unigram == pytest.approx(math.log(8), abs=1e-3)
    assert got.bigram == pytest.approx(math.log(8), abs=1e-3)


def test_a_large_vocabulary_takes_no_memory_for_pairs_that_do_not_occur():
    text = torch.arange(100_000) % 90_000
    got = ngram_losses(text, text[:-1], text[1:], 100_000)  # 80 GB as a dense table
    assert got.bigram < 1


def test_a_cycle_is_known_from_its_pairs():
    cycle = torch.arange(30_000) % 3
    got = ngram_losses(cycle, cycle[:-1], cycle[1:], 3)
    assert got.unigram == pytest.approx(math.log(3), abs=1e-6)
    assert got.bigram == pytest.approx(0, abs=1e-3)


def test_nothing_to_count_is_refused():
    nothing = torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="cannot count 0 tokens"):
        ngram_losses(nothing, nothing, nothing, 3)
