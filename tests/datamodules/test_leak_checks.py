"""Each kind of planted leak is found and named; clean windows pass with their counts."""

import numpy as np
import pytest
import torch

from scaling.contracts.labeled import Labeled
from scaling.datamodules.leak_checks import leaks


def clean(count: int = 120, seed: int = 0) -> Labeled:
    draws = torch.Generator().manual_seed(seed)
    return Labeled(
        torch.randn(count, 5, 3, generator=draws), torch.randint(2, (count,), generator=draws)
    )


def parts(**changes: Labeled) -> dict[str, Labeled]:
    return {"source": clean(seed=1), "query": clean(seed=2), "heldout": clean(seed=3)} | changes


def test_windows_that_share_nothing_pass():
    found = leaks(parts())
    assert (found["leak_windows"], found["leak_records"]) == (0, 0)
    assert found["leak_label_order"] > -6
    assert "leak_file_order" not in found  # there is no file


def test_a_window_in_two_parts_is_found():
    planted = clean(seed=2)
    planted.windows[7] = clean(seed=1).windows[3]
    with pytest.raises(ValueError, match="source and query share 1 windows"):
        leaks(parts(query=planted))


def test_a_window_twice_in_one_part_is_found():
    planted = clean(seed=2)
    planted.windows[7] = planted.windows[9]
    with pytest.raises(ValueError, match="query has 1 windows twice"):
        leaks(parts(query=planted))


def test_a_single_record_in_two_parts_is_found_even_where_zeros_have_a_sign():
    one, other = clean(seed=2), clean(seed=3)
    one.windows[0, 0], other.windows[5, 4] = 0.0, -0.0
    with pytest.raises(ValueError, match="query and heldout share 1 records"):
        leaks(parts(query=one, heldout=other))


def test_windows_that_overlap_are_found():
    series = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    sliding = series.unfold(0, 5, 4).transpose(1, 2).contiguous()
    labels = torch.randint(2, (len(sliding),), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=f"query has {len(sliding) - 1} records twice"):
        leaks(parts(query=Labeled(sliding, labels)))


def test_windows_in_the_order_of_their_labels_are_found():
    windows, labels = clean(seed=2)
    with pytest.raises(ValueError, match="windows of query are sorted by their labels"):
        leaks(parts(query=Labeled(windows, labels.sort().values)))


def test_a_random_order_of_labels_is_as_many_deviations_off_as_a_normal_variable():
    found = []
    for seed in range(200):
        draws = torch.Generator().manual_seed(seed)
        labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 300, True, generator=draws)
        found.append(leaks({"a": Labeled(torch.randn(300, 2, 3), labels)})["leak_label_order"])
    assert np.mean(found) == pytest.approx(0, abs=0.25)
    assert np.std(found) == pytest.approx(1, abs=0.2)


def test_labels_with_few_distinct_orders_are_not_judged():
    few = (torch.arange(500) < 3).long()  # so few are in one place by chance, too
    for labels in (torch.zeros(9, dtype=torch.long), torch.tensor([1]), few):
        found = leaks({"a": Labeled(torch.randn(len(labels), 2, 3), labels)})
        assert found["leak_label_order"] == 0


def test_records_in_the_order_of_their_file_are_found():
    positions = {
        name: np.random.default_rng(0).permutation(600).reshape(120, 5) for name in parts()
    }
    assert leaks(parts(), positions)["leak_file_order"] < 0.05
    positions["query"] = np.arange(600).reshape(120, 5)
    with pytest.raises(ValueError, match="query follow the order of the file in 100.0%"):
        leaks(parts(), positions)
