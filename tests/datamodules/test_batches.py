"""Batches follow only from data, seed and index."""

from itertools import chain

import pytest
import torch

from scaling.datamodules.batches import Batches, InOrder


def batches(**changes) -> Batches:
    settings = {"examples": 10, "batch": 4, "microbatches": 1} | changes
    orders = [torch.randperm(10, generator=torch.Generator().manual_seed(e)) for e in (0, 1)]
    return Batches(lambda rows: (rows,), order=orders.__getitem__, **settings)


def rows(loader) -> list[list[int]]:
    return [batch[0].tolist() for batch in loader]


def visited(loader) -> list[int]:
    return list(chain.from_iterable(rows(loader)))


def test_an_epoch_visits_each_example_at_most_once_and_drops_the_short_batch():
    seen = rows(batches())
    assert [len(batch) for batch in seen] == [4, 4]
    assert len(set(chain.from_iterable(seen))) == 8
    assert len(batches()) == 2


def test_an_epoch_is_the_same_whenever_it_is_asked_for():
    loader = batches()
    first = rows(loader)
    loader.set_epoch(1)
    assert rows(loader) != first
    loader.set_epoch(0)
    assert rows(loader) == first


def test_larger_batches_visit_the_same_examples_in_the_same_order():
    assert visited(batches(batch=2))[:8] == visited(batches(batch=4))


def test_microbatches_are_equal_parts_of_the_same_batches():
    parts = rows(batches(microbatches=2))
    assert [len(part) for part in parts] == [2, 2, 2, 2]
    assert list(chain.from_iterable(parts)) == visited(batches())
    assert len(batches(microbatches=2)) == 4


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch=11 exceeds the 10 training examples"):
        batches(batch=11)


def test_unequal_microbatches_are_refused():
    with pytest.raises(ValueError, match="microbatches=3 must divide batch=4"):
        batches(microbatches=3)


def test_batches_in_order_visit_everything_every_time():
    loader = InOrder(lambda rows: (rows,), torch.arange(5), batch=2)
    assert rows(loader) == rows(loader) == [[0, 1], [2, 3], [4]]
    assert len(loader) == 3
