"""Requirements of a population."""

import pytest
import torch

from scaling.contracts.labeled import Labeled
from scaling.datamodules.population import Population


def part(count: int, seed: int, features: int = 3) -> Labeled:
    draws = torch.Generator().manual_seed(seed)
    return Labeled(torch.randn(count, 5, features, generator=draws), torch.arange(count) % 2)


def population(**changes) -> Population:
    parts = {
        "clients": (part(4, 0), part(6, 1)), "source": part(5, 2), "query": part(8, 3),
        "heldout": part(7, 4), "classes": 2, "best_accuracy": None, "best_accuracy_se": None,
        "checks": {},
    }  # fmt: skip
    return Population(**parts | changes)


def spoiled(value: float) -> Labeled:
    windows, labels = part(8, 3)
    windows[2, 4, 1] = value
    return Labeled(windows, labels)


def test_clients_are_pooled_one_after_another():
    made = population()
    assert len(made.pooled.labels) == 10
    assert torch.equal(made.pooled.windows[4:], made.clients[1].windows)
    assert list(made.parts()) == ["client 0", "client 1", "source", "query", "heldout"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"query": spoiled(float("nan"))}, "is not finite at window 2, step 4, feature 1 .nan"),
        ({"query": spoiled(float("inf"))}, "query is not finite at .* .inf"),
        ({"heldout": part(7, 4, features=4)}, "heldout has windows of 5 steps x 4 features, but c"),
        ({"clients": (part(4, 0), part(0, 1))}, "client 1 has no windows"),
        ({"query": part(0, 3)}, "query has no windows"),
        ({"query": part(1, 3)}, "all windows of the query are of class 0, one of 2; adaptation"),
        ({"clients": (part(1, 0),)}, "all windows of the clients are of class 0"),
        ({"classes": 1}, "labels from 0 to 1; they must be 0 to 0"),
        ({"query": Labeled(part(8, 3).windows, torch.arange(7))}, "has 8 windows and 7 labels"),
    ],
)  # fmt: skip
def test_a_population_that_cannot_be_adapted_on_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        population(**changes)
