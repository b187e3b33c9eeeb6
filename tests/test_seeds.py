"""Seeds are reproducible, and unrelated to each other."""

import torch

from scaling.seeds import generator_for, reseed, seed_for


def test_the_same_purpose_and_index_give_the_same_seed():
    assert seed_for("step", 0, 1, 2) == seed_for("step", 0, 1, 2)


def test_purposes_and_neighbouring_indices_share_no_seed():
    index = [(run, epoch, step) for run in range(5) for epoch in range(5) for step in range(100)]
    seeds = {seed_for(purpose, *i) for purpose in ("order", "step") for i in index}
    assert len(seeds) == 2 * len(index)


def test_streams_of_neighbouring_seeds_are_uncorrelated():
    draws = torch.stack(
        [torch.randn(10_000, generator=generator_for("order", 0, e)) for e in (0, 1)]
    )
    assert torch.corrcoef(draws)[0, 1].abs() < 0.05  # sd 0.01


def test_drawing_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    torch.randn(3, generator=generator_for("order", 0, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_reseeding_sets_the_global_state_as_torch_does():
    torch.manual_seed(5)
    want = torch.randn(3)
    reseed(5, torch.device("cpu"))
    assert torch.equal(torch.randn(3), want)
