"""Passes over a query: every window once, the last batch shorter."""

from itertools import chain

import pytest
import torch

from scaling.datamodules.passes import Passes, doubling


def passes(windows: int = 10, sizes: tuple[int, ...] = (4,)) -> Passes:
    def order(number: int) -> torch.Tensor:
        return torch.randperm(windows, generator=torch.Generator().manual_seed(number))

    return Passes(lambda rows: (rows,), order=order, windows=windows, sizes=sizes)


def rows(loader: Passes) -> list[list[int]]:
    return [batch[0].tolist() for batch in loader]


def test_a_pass_visits_every_window_once_and_keeps_the_shorter_batch():
    seen = rows(passes())
    assert [len(batch) for batch in seen] == [4, 4, 2]
    assert sorted(chain.from_iterable(seen)) == list(range(10))
    assert len(passes()) == 3


@pytest.mark.parametrize(
    ("batch", "updates"), [(8, 94), (16, 47), (24, 32), (32, 24), (64, 12), (128, 6)]
)
def test_750_windows_give_the_published_number_of_updates(batch, updates):
    loader = passes(750, (batch,))
    assert len(rows(loader)) == len(loader) == loader.steps == updates
    assert loader.updates(50) == 50 * updates


def test_a_pass_is_the_same_whenever_it_is_asked_for_and_for_every_batch():
    loader, larger = passes(), passes(sizes=(8,))
    first = rows(loader)
    assert list(chain.from_iterable(first)) == list(chain.from_iterable(rows(larger)))
    loader.set_epoch(1)
    assert rows(loader) != first
    loader.set_epoch(0)
    assert rows(loader) == first


def test_a_pass_continues_where_its_state_was_taken():
    loader, resumed = passes(), passes()
    steps = iter(loader)
    seen = [next(steps)[0].tolist()]
    resumed.load_state_dict(loader.state_dict())
    assert seen + rows(resumed) == rows(passes())
    resumed.set_epoch(1)
    assert len(rows(resumed)) == 3  # and the next pass from its beginning


def test_a_growing_batch_has_as_many_passes_of_each_size():
    sizes = doubling(16, 64, 50)
    assert sizes == (16,) * 17 + (32,) * 17 + (64,) * 16
    loader = passes(750, sizes)
    assert loader.updates(50) == 17 * 47 + 17 * 24 + 16 * 12
    loader.set_epoch(60)  # later than planned
    assert len(loader) == 12


def test_a_growing_batch_keeps_the_order_of_its_windows():
    fixed, growing = passes(), passes(sizes=(2, 4))
    for number in (0, 1):
        for loader in (fixed, growing):
            loader.set_epoch(number)
        assert list(chain(*rows(fixed))) == list(chain(*rows(growing)))
    assert [len(batch) for batch in rows(growing)] == [4, 4, 2]


@pytest.mark.parametrize(
    ("batch", "growth", "count", "said"),
    [
        (16, 48, 50, "growth=48 must be batch=16 doubled at least once, such as 32"),
        (16, 16, 50, "growth=16 must be batch=16 doubled"),
        (16, 8, 50, "growth=8 must be batch=16 doubled"),
        (16, 64, 2, "growth_passes=2 must be at least 3"),
    ],
)
def test_growth_that_is_not_doubling_is_refused(batch, growth, count, said):
    with pytest.raises(ValueError, match=said):
        doubling(batch, growth, count)
