"""Injected gradients have the law that they are said to have, and the same draws for a seed."""

import pytest
import torch

from scaling.contracts.metric import UNINFORMATIVE
from scaling.contracts.sizes import Sizes
from scaling.datamodules.injected import Injected
from scaling.gradients.tails import tail_shape


def data(**changes) -> Injected:
    settings = {
        "batch": 16, "microbatches": 1, "seed": 0, "path": None, "law": "normal", "inputs": 6,
        "outputs": 4, "examples_per_epoch": 5_000, "val_examples": 20,
    }  # fmt: skip
    return Injected(**settings | changes)


def drawn(module: Injected, epoch: int = 0) -> list[torch.Tensor]:
    module.prepare()
    module.batches.set_epoch(epoch)
    return [torch.cat(parts) for parts in zip(*module.train_dataloader(), strict=True)]


@pytest.mark.parametrize(
    ("law", "verdict"), [("normal", "gaussian"), ("cauchy", "infinite variance")]
)
def test_gradients_have_their_law_and_inputs_are_gaussian(law, verdict):
    inputs, gradients = drawn(data(law=law))
    assert tail_shape(gradients.flatten()).verdict == verdict
    assert tail_shape(inputs.flatten()).verdict == "gaussian"
    assert data().prepare() == Sizes(6, 4, 1)


def test_draws_depend_on_seed_and_epoch_alone():
    first, again = drawn(data()), drawn(data(batch=8))
    assert torch.equal(first[0], again[0][: len(first[0])])
    for other in (drawn(data(seed=1)), drawn(data(), epoch=1)):
        assert not torch.equal(first[1], other[1])


def test_validation_is_the_same_for_all_seeds():
    (one,), (two,) = (data(seed=seed).val_dataloader() for seed in (0, 1))
    assert len(one[0]) == 20
    assert torch.equal(one[1], two[1])


def test_the_row_says_that_the_loss_means_nothing():
    assert data().columns() == {UNINFORMATIVE: 1}


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="law=laplace must be one of normal, cauchy"):
        data(law="laplace")
    with pytest.raises(ValueError, match="outputs=0 must be at least 1"):
        data(outputs=0)
    with pytest.raises(ValueError, match="path=x must be null"):
        data(path="x")
