"""A data set of tensors: its batches, its identity, and what is refused."""

import pytest
import torch

from scaling.contracts.protocols import RunBatches, RunData, required
from scaling.contracts.sizes import Sizes
from scaling.datamodules.in_memory import Examples, InMemory


class Numbers(InMemory):
    """The numbers from 0 for training, and their negatives for validation."""

    def __init__(self, *, batch=4, microbatches=1, seed=0, dtype=torch.float32, examples=10):
        super().__init__(batch=batch, microbatches=microbatches, seed=seed)
        self.dtype, self.numbers, self.loads = dtype, torch.arange(examples), 0

    def load(self) -> Examples:
        self.loads += 1
        x = self.numbers.to(self.dtype)[:, None]
        return Examples((x, self.numbers % 2), (-x, self.numbers % 2), Sizes(1, 2, 1))


def epoch(data: Numbers, number: int) -> list[list[float]]:
    """The inputs of each batch of an epoch."""
    data.prepare()
    data.train_dataloader().set_epoch(number)
    return [batch[0].flatten().tolist() for batch in data.train_dataloader()]


def test_it_has_all_that_a_run_needs_of_data():
    data = required(Numbers(), RunData, "data")
    assert data.prepare() == Sizes(1, 2, 1)
    assert data.columns() == {}
    required(data.batches, RunBatches, "data")


def test_an_epoch_follows_from_seed_and_number_and_visits_each_example_once_at_most():
    first = epoch(Numbers(), 0)
    assert [len(batch) for batch in first] == [4, 4]
    assert len({x for batch in first for x in batch}) == 8
    assert epoch(Numbers(), 0) == first
    assert epoch(Numbers(), 1) != first
    assert epoch(Numbers(seed=1), 0) != first
    assert sum(epoch(Numbers(microbatches=2), 0), []) == sum(first, [])  # noqa: RUF017


def test_rows_of_all_tensors_belong_together_in_training_and_validation():
    data = Numbers()
    data.prepare()
    for x, labels in (*data.train_dataloader(), *data.val_dataloader()):
        assert (x.abs().long().flatten() % 2).tolist() == labels.tolist()
    assert torch.cat([x for x, _ in data.val_dataloader()]).flatten().tolist() == [
        -float(i) for i in range(10)
    ]


def test_identity_is_content_type_and_shape_and_not_order_or_batch():
    same = {Numbers(seed=seed, batch=batch).fingerprint for seed in (0, 1) for batch in (2, 4)}
    assert len(same) == 1
    changed = Numbers()
    changed.numbers[3] = 7
    others = {Numbers(dtype=torch.bfloat16).fingerprint, Numbers(examples=9).fingerprint}
    assert len(same | others | {changed.fingerprint}) == 4


def test_loaded_data_are_kept():
    data = Numbers()
    before = data.fingerprint
    data.prepare()
    data.numbers += 1
    assert data.fingerprint == before
    assert data.loads == 1


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch=32 exceeds the 10 training examples"):
        Numbers(batch=32).prepare()
