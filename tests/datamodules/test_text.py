"""Windows of characters: which, in which order, and their known losses."""

import math
from itertools import pairwise

import pytest
import torch

from scaling.contracts.sizes import Sizes
from scaling.datamodules.text import SUBSTITUTE, Text


def text(path=None, **changes) -> Text:
    settings = {
        "batch": 4,
        "microbatches": 1,
        "seed": 0,
        "source": "files" if path else "pydoc",
        "path": str(path) if path else None,
        "vocabulary": "ascii",
        "context": 8,
        "val_share": 0.25,
        "val_windows": 64,
    }
    return Text(**settings | changes)


@pytest.fixture
def letters(tmp_path):
    """400 characters, each naming its position as far as 26 letters can."""
    file = tmp_path / "letters.txt"
    file.write_text("".join(chr(97 + i % 26) for i in range(400)))
    return file


def test_targets_are_the_inputs_one_character_later(letters):
    data = text(letters)
    assert data.prepare() == Sizes(inputs=128, outputs=128, length=8)
    for x, y in data.train_dataloader():
        assert x.shape == y.shape == (4, 8)
        assert torch.equal(x[:, 1:], y[:, :-1])
        assert torch.equal((x - 97 + 1) % 26, y - 97)


def test_an_epoch_visits_windows_that_do_not_overlap_and_the_next_one_others(letters):
    data = text(letters)
    data.prepare()
    epochs = [sorted(data._starts(epoch).tolist()) for epoch in range(8)]
    for starts in epochs:
        assert {b - a for a, b in pairwise(starts)} == {8}
        assert starts[-1] + 8 < 300
    assert len({starts[0] for starts in epochs}) > 3  # offsets differ


def test_runs_that_differ_in_batch_see_the_same_examples_in_the_same_order(letters):
    small, large = text(letters, batch=4), text(letters, batch=12)
    for data in (small, large):
        data.prepare()
    few = torch.cat([x for x, _ in small.train_dataloader()])
    many = torch.cat([x for x, _ in large.train_dataloader()])
    assert torch.equal(few[: len(many)], many[: len(few)])


def test_the_seed_changes_the_order_and_leaves_validation_alone(letters):
    first, second = text(letters, seed=0), text(letters, seed=1)
    for data in (first, second):
        data.prepare()
    assert not torch.equal(
        next(iter(first.train_dataloader()))[0], next(iter(second.train_dataloader()))[0]
    )
    a, b = (torch.cat([x for x, _ in data.val_dataloader()]) for data in (first, second))
    assert torch.equal(a, b)


def test_validation_is_independent_of_the_batch_and_spread_over_the_text(letters):
    whole = text(letters, batch=2)
    few = text(letters, batch=16, val_windows=3)
    for data in (whole, few):
        data.prepare()
    every = torch.cat([x for x, _ in whole.val_dataloader()])
    assert len(every) == (100 - 1) // 8
    some = torch.cat([x for x, _ in few.val_dataloader()])
    assert torch.equal(some, every[[0, 4, 8]])


def test_unknown_characters_are_mapped_and_counted(tmp_path):
    (tmp_path / "train.txt").write_text("aé" * 50)
    (tmp_path / "valid.txt").write_text("aéπ" * 50)
    data = text(tmp_path, val_windows=999)
    data.prepare()
    assert data.columns()["unknown_train"] == 50
    assert data.columns()["unknown_val"] == 100
    assert set(data.tokens.train.tolist()) == {97, SUBSTITUTE}
    data = text(tmp_path, vocabulary="characters")
    assert data.prepare().inputs == 3  # a, é and the unknown
    assert data.columns()["unknown_train"] == 0
    assert data.columns()["unknown_val"] == 50


def test_losses_that_need_no_learning_are_recorded(letters):
    data = text(letters)
    data.prepare()
    columns = data.columns()
    assert columns["uniform_loss"] == math.log(128)
    assert columns["unigram_loss"] == pytest.approx(math.log(26), abs=0.35)  # add-one over 128
    assert columns["bigram_loss"] < 0.5  # the next letter is certain


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 1_000}, "batch=1000 exceeds the 36 training examples"),
        ({"context": 60}, "the validation text has 100 characters, too few for context=60"),
        ({"context": 0}, "context=0 must be at least 1"),
        ({"val_windows": 0}, "val_windows=0 must be at least 1"),
        ({"vocabulary": "words"}, "vocabulary=words must be one of"),
        ({"val_share": 1.5}, "val_share=1.5 must lie between 0 and 1"),
        ({"source": "web"}, "source=web must be one of pydoc, files, wikitext2, tinyshakespeare"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(letters, changes, said):
    with pytest.raises(ValueError, match=said):
        text(letters, **changes).prepare()


def test_wikitext2_has_the_published_trivial_losses(real_data):
    data = text(source="wikitext2", context=128, val_windows=2048)
    assert data.prepare().inputs == 128
    assert len(data.tokens.train) == pytest.approx(10_780_000, rel=0.01)
    columns = data.columns()
    assert columns["uniform_loss"] == pytest.approx(4.852, abs=5e-4)
    assert columns["unigram_loss"] == pytest.approx(3.193, abs=0.01)  # a quarter of the windows
    assert columns["bigram_loss"] == pytest.approx(2.348, abs=0.01)
