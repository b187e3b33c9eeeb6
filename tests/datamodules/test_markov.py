"""A source with known entropy, and batches that follow only from their number."""

import math

import numpy as np
import pytest
import torch
from conftest import UNRECORDED

from scaling import results
from scaling.datamodules.markov import Markov, source


def data(**settings) -> Markov:
    made = Markov(
        **{
            "batch": 8, "microbatches": 1, "seed": 0, "path": None, "vocabulary": 5, "context": 12,
            "concentration": 0.5, "sequences": 64, "endless": True, "val_windows": 500,
            "source_seed": 0,
        } | settings
    )  # fmt: skip
    made.prepare()
    return made


def epoch(made: Markov, number: int) -> torch.Tensor:
    made.batches.set_epoch(number)
    return torch.cat([x for x, _ in made.train_dataloader()])


def test_the_entropy_rate_of_a_chain_of_two_states_in_closed_form():
    chain = source(2, 0.7, 3)
    (a, b) = chain.transitions[0, 1].item(), chain.transitions[1, 0].item()
    pi = b / (a + b)

    def entropy(p):
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    assert chain.stationary.tolist() == pytest.approx([pi, 1 - pi])
    assert chain.entropy_rate == pytest.approx(pi * entropy(a) + (1 - pi) * entropy(b))


def test_the_stationary_distribution_stays_as_it_is():
    chain = source(65, 0.1, 0)
    np.testing.assert_allclose(chain.stationary @ chain.transitions, chain.stationary, atol=1e-12)
    assert chain.transitions.sum(dim=1).tolist() == pytest.approx([1.0] * 65)


def test_independent_tokens_have_the_entropy_of_their_vocabulary():
    made = data(concentration=math.inf, vocabulary=65)
    assert list(made.columns().values()) == pytest.approx([math.log(65)] * 4)
    assert made.columns()["floor_loss"] == pytest.approx(4.1744, abs=5e-5)


def test_sequences_follow_the_source():
    made = data(sequences=20_000, val_windows=1)
    x, y = made._examples(torch.arange(20_000))
    pairs = torch.bincount((x * 5 + y).flatten(), minlength=25).view(5, 5).double()
    visits, p = pairs.sum(dim=1, keepdim=True), made.source.transitions
    assert ((pairs / visits - p).abs() <= 5 * (p * (1 - p) / visits).sqrt()).all()
    first = torch.bincount(x[:, 0], minlength=5) / len(x)
    torch.testing.assert_close(first.double(), made.source.stationary, atol=0.02, rtol=0)


def test_what_the_true_source_scores_lies_at_the_entropy_rate():
    columns = data(val_windows=20_000).columns()
    assert columns["bigram_loss"] == pytest.approx(columns["floor_loss"], abs=0.01)
    assert columns["floor_loss"] < columns["unigram_loss"] < columns["uniform_loss"]


def test_an_endless_stream_never_repeats_and_a_fixed_set_always_does():
    stream, fixed = data(), data(endless=False)
    streams, sets = (
        [set(map(tuple, epoch(m, e).tolist())) for e in (0, 1)] for m in (stream, fixed)
    )
    assert not streams[0] & streams[1]
    assert sets[0] == sets[1]
    assert not torch.equal(epoch(fixed, 0), epoch(fixed, 1))  # in another order


def test_batches_do_not_depend_on_how_they_are_cut():
    whole, small, parts = data(batch=16), data(batch=4), data(batch=16, microbatches=4)
    assert torch.equal(epoch(whole, 1), epoch(small, 1))
    assert torch.equal(epoch(whole, 1), epoch(parts, 1))


def test_seeds_draw_other_streams_from_one_source():
    one, other = data(seed=0), data(seed=1)
    assert not torch.equal(epoch(one, 0), epoch(other, 0))
    assert torch.equal(one.source.transitions, other.source.transitions)
    for a, b in zip(one.val_dataloader(), other.val_dataloader(), strict=True):
        assert torch.equal(a[0], b[0])


def test_validation_sequences_are_not_trained_on():
    made = data(context=30, sequences=500, endless=False)
    trained = set(map(tuple, epoch(made, 0).tolist()))
    assert not trained & {tuple(row) for x, _ in made.val_dataloader() for row in x.tolist()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": 1}, "vocabulary=1 must be at least 2"),
        ({"concentration": 0.0}, "concentration=0.0 must be positive"),
        ({"concentration": -1.0}, "must be positive"),
        ({"context": 0}, "context=0 must be at least 1"),
        ({"sequences": 0}, "sequences=0 must be at least 1"),
        ({"path": "x"}, "path=x must be null"),
        ({"batch": 65}, "batch=65 exceeds the 64 training examples"),
    ],
)
def test_an_invalid_source_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        data(**settings)


def test_a_trained_model_comes_near_the_entropy_rate_and_not_below_it(command):
    ended = command(
        *("data=markov", "data.vocabulary=16", "data.context=16", "data.val_windows=512"),
        *("model.d_model=32", "model.layers=1", "batch=64", "lr=2e-2", "steps=300"),
        *("schedule=warmup_cosine", "schedule.warmup_steps=20"),
        *UNRECORDED,
    )
    assert ended.code == 0, ended.err
    (row,) = results.read("multirun").itertuples()
    assert row.val_loss < row.floor_loss + 0.05
    assert row.val_loss > row.floor_loss - 4 * row.val_loss_se
    assert row.val_loss < row.unigram_loss - 1


def test_on_independent_tokens_no_model_goes_below_the_floor(command):
    data = ("data=random_tokens", "data.context=32", "data.val_windows=512", "batch=32", "lr=1e-3")
    assert command(*data, *UNRECORDED, "steps=100").code == 0
    (row,) = results.read("multirun").itertuples()
    assert row.floor_loss == pytest.approx(math.log(65))
    assert abs(row.val_loss - row.floor_loss) < 0.02
