"""Batch sizes that grow by doublings, and learning rates that follow."""

from collections import Counter
from itertools import pairwise

import pytest

from scaling.growth import growing_batch, scaled_lr


def sizes(first: int, last: int, passes: int) -> list[int]:
    return [growing_batch(i, first=first, last=last, passes=passes) for i in range(passes)]


def test_from_16_to_64_over_50_passes_in_three_parts():
    assert sizes(16, 64, 50) == [16] * 17 + [32] * 17 + [64] * 16


@pytest.mark.parametrize(("first", "last", "passes"), [(8, 128, 50), (16, 100, 7), (1, 2, 2)])
def test_it_never_shrinks_and_all_sizes_last_equally_long_but_for_one_pass(first, last, passes):
    grown = sizes(first, last, passes)
    assert grown == sorted(grown)
    assert (grown[0], grown[-1]) == (first, last)
    counts = Counter(grown).values()
    assert max(counts) - min(counts) <= 1
    assert all(b in (a, min(2 * a, last)) for a, b in pairwise(grown))


def test_it_stays_where_it_started_or_ended():
    assert sizes(16, 16, 3) == [16] * 3
    assert growing_batch(99, first=16, last=64, passes=50) == 64


@pytest.mark.parametrize(
    ("first", "last", "passes", "number", "message"),
    [
        (64, 16, 50, 0, "from 64 to 16"),
        (0, 16, 50, 0, "from 0 to 16"),
        (16, 64, 2, 0, "2 passes are too few .* at least 3"),
        (16, 64, 50, -1, "pass -1"),
    ],
)
def test_what_does_not_grow_is_refused(first, last, passes, number, message):
    with pytest.raises(ValueError, match=message):
        growing_batch(number, first=first, last=last, passes=passes)


@pytest.mark.parametrize(("rule", "lr"), [("fixed", 0.1), ("linear", 0.4), ("sqrt", 0.2)])
def test_the_learning_rate_of_four_times_the_batch(rule, lr):
    assert scaled_lr(0.1, batch=64, reference=16, rule=rule) == pytest.approx(lr)
    assert scaled_lr(0.1, batch=16, reference=16, rule=rule) == 0.1
    back = scaled_lr(lr, batch=16, reference=64, rule=rule)
    assert back == pytest.approx(0.1)


def test_unknown_rules_and_empty_batches_are_refused():
    with pytest.raises(ValueError, match="lr_rule=cube must be one of fixed, linear, sqrt"):
        scaled_lr(0.1, batch=64, reference=16, rule="cube")
    with pytest.raises(ValueError, match="batch=0 and reference=16"):
        scaled_lr(0.1, batch=0, reference=16, rule="sqrt")
