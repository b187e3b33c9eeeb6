"""Images of digits: which are used for training, in which order, with which labels."""

import math

import pytest
import torch
from conftest import UNRECORDED

from scaling import results
from scaling.contracts.sizes import Sizes
from scaling.datamodules import image_sources
from scaling.datamodules.images import Images


def digits(**changes) -> Images:
    settings = {
        "batch": 32, "microbatches": 1, "seed": 0, "source": "digits", "path": None,
        "label_noise": 0.0, "val_examples": 400, "scored_examples": 10_000,
    }  # fmt: skip
    made = Images(**settings | changes)
    made.sizes = made.prepare()
    return made


def epoch(made: Images, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    made.batches.set_epoch(number)
    images, labels = zip(*made.train_dataloader(), strict=True)
    return torch.cat(images), torch.cat(labels)


def split(made: Images, name: str) -> list[torch.Tensor]:
    return [torch.cat(part) for part in zip(*made.val_dataloader()[name], strict=True)]


def test_sizes_and_splits():
    made = digits()
    assert made.sizes == Sizes(inputs=64, outputs=10, length=1)
    shapes = [split(made, name)[0].shape for name in ("val", "test", "train")]
    assert shapes == [(400, 64), (397, 64), (1000, 64)]


def test_no_image_of_validation_or_test_is_trained_on():
    made, rows = digits(batch=1), {}
    rows["trained"] = [tuple(image) for image in epoch(made)[0].tolist()]
    for name in ("val", "test", "train"):
        rows[name] = [tuple(image) for image in split(made, name)[0].tolist()]
    assert sorted(rows["trained"]) == sorted(rows["train"])
    assert not set(rows["trained"]) & set(rows["val"])
    assert not set(rows["trained"]) & set(rows["test"])
    assert not set(rows["val"]) & set(rows["test"])


def test_validation_is_the_end_of_the_training_set_and_its_size_moves_no_test_image():
    many, few = digits(val_examples=400), digits(val_examples=100)
    source = image_sources.load("digits", None)
    assert torch.equal(split(many, "val")[1], source.train_labels[-400:])
    assert torch.equal(split(few, "val")[1], source.train_labels[-100:])
    for made in (many, few):
        assert torch.equal(split(made, "test")[1], source.test_labels)


def test_pixels_lie_between_background_and_full_ink():
    made, source = digits(), image_sources.load("digits", None)
    for name in ("val", "test", "train"):
        images = split(made, name)[0]
        assert (images.min(), images.max()) == (0, 1)
    assert torch.equal((made.splits.test * 16).byte(), source.test)


def test_images_keep_their_labels_through_every_epoch():
    made, source = digits(batch=10), image_sources.load("digits", None)
    known = {tuple(image): label for image, label in zip(
        made.splits.train.tolist(), source.train_labels.tolist(), strict=False)}  # fmt: skip
    for number in (0, 1):
        for image, label in zip(*(part.tolist() for part in epoch(made, number)), strict=True):
            assert known[tuple(image)] == label


def test_runs_that_differ_in_batch_see_the_same_examples_in_the_same_order():
    small, large, parts = digits(batch=8), digits(batch=24), digits(batch=24, microbatches=3)
    for number in (0, 3):
        few, many, cut = (epoch(made, number)[0] for made in (small, large, parts))
        assert torch.equal(few[: len(many)], many)
        assert torch.equal(cut, many)
    assert not torch.equal(epoch(small, 0)[0], epoch(small, 1)[0])


def test_the_seed_changes_order_and_noise_and_leaves_evaluation_alone():
    first, second = digits(seed=0, label_noise=0.3), digits(seed=1, label_noise=0.3)
    assert not torch.equal(epoch(first)[0], epoch(second)[0])
    assert not torch.equal(first.labels.given, second.labels.given)
    for name in ("val", "test"):
        for a, b in zip(split(first, name), split(second, name), strict=True):
            assert torch.equal(a, b)


def test_noise_is_in_the_training_labels_only_and_changes_neither_images_nor_order():
    clean, noisy = digits(), digits(label_noise=0.4)
    assert torch.equal(epoch(clean, 2)[0], epoch(noisy, 2)[0])
    for name in ("val", "test"):
        assert torch.equal(split(clean, name)[1], split(noisy, name)[1])
    _, given, true = split(noisy, "train")
    assert (given != true).sum() == 400
    assert torch.equal(true, split(clean, "train")[1])
    assert sorted(epoch(digits(batch=1, label_noise=0.4))[1].tolist()) == sorted(given.tolist())


def test_training_accuracy_is_measured_on_a_stated_number_of_examples_spread_evenly():
    images, given, true = split(digits(label_noise=0.4, scored_examples=250), "train")
    every = split(digits(label_noise=0.4), "train")
    for few, many in zip((images, given, true), every, strict=True):
        assert torch.equal(few, many[::4])


def test_measures_that_need_no_model_are_recorded():
    columns = digits(label_noise=0.4).columns()
    assert columns["uniform_loss"] == math.log(10)
    assert columns["unigram_loss"] == pytest.approx(math.log(10), abs=0.02)
    assert columns["corrupted_examples"] == 400
    assert digits().columns()["corrupted_examples"] == 0


def test_the_checksum_tells_which_labels_were_given():
    def checksum(**changes) -> int:
        return digits(**changes).columns()["labels_checksum"]

    assert checksum(label_noise=0.4) == checksum(label_noise=0.4, batch=32)
    assert (
        len({checksum(label_noise=share, seed=seed) for share in (0.2, 0.4) for seed in (0, 1)})
        == 4
    )
    assert checksum(label_noise=0.0, seed=0) == checksum(label_noise=0.0, seed=1)


def test_unigram_loss_is_the_cross_entropy_of_counts():
    made = digits()
    train, val = made.splits.train_labels.tolist(), made.splits.val_labels.tolist()
    losses = [-math.log((train.count(label) + 1) / (len(train) + 10)) for label in val]
    assert made.columns()["unigram_loss"] == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_noise": 1.5}, r"label_noise=1.5 must lie in \[0, 1\)"),
        ({"val_examples": 0}, "val_examples=0 must be at least 1"),
        ({"val_examples": 1400}, "val_examples=1400 leaves none of 1400 examples for"),
        ({"scored_examples": 0}, "scored_examples=0 must be at least 1"),
        ({"batch": 1001}, "batch=1001 exceeds the 1000 training examples"),
        ({"source": "letters"}, "source=letters must be one of digits, mnist, idx"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(changes, said):
    with pytest.raises(ValueError, match=said):
        digits(**changes)


def test_a_run_on_digits_ends_with_accuracies_in_its_row_and_one_for_each_epoch(command):
    run = ("model=mlp", "data=digits", "steps=null", "epochs=6", "lr=1e-2", "model.width=64")
    ended = command(*run, "data.label_noise=0.4", "data.scored_examples=500", "batch=50")
    assert ended.code == 0, ended.err
    (row,) = results.read("multirun").itertuples()
    epochs = results.epochs("multirun")
    assert list(epochs["step"]) == [20, 40, 60, 80, 100, 120]
    last = epochs.iloc[-1]
    names = ("val", "test", "train")
    for name in [f"{name}_accuracy" for name in names] + [
        f"train_accuracy_{part}" for part in ("clean", "corrupted", "true")
    ]:
        assert getattr(row, name) == last[name]
    assert row.val_accuracy > 0.6
    assert row.test_accuracy > 0.6
    assert row.train_accuracy_true > 3 * row.train_accuracy_corrupted  # nothing memorised yet
    _, given, true = split(digits(label_noise=0.4, scored_examples=500), "train")
    share = (given != true).float().mean().item()
    mixed = (1 - share) * row.train_accuracy_clean + share * row.train_accuracy_corrupted
    assert row.train_accuracy == pytest.approx(mixed)
    assert "accuracy  val" in ended.out


def test_memorised_wrong_labels_are_recognised(command):
    run = ("model=mlp", "data=digits", "steps=null", "epochs=60", "lr=3e-3", "optimizer=adam")
    more = ("model.width=128", "data.val_examples=1300", "data.scored_examples=100", "clip=inf")
    assert command(*run, *more, *UNRECORDED, "data.label_noise=0.4", "batch=20").code == 0
    (row,) = results.read("multirun").itertuples()
    assert row.train_accuracy_corrupted > 0.9
    assert row.train_accuracy_true < 0.1
    assert row.test_accuracy < 0.9


def test_digits_run_end_to_end_at_every_scale(command):
    for scale in ("tiny", "small"):
        ended = command("model=mlp", "data=digits", f"scale={scale}", f"study={scale}", small=False)
        assert ended.code == 0, ended.err
        (row,) = results.read(f"multirun/{scale}").itertuples()
        assert row.status == "done"
        assert row.test_accuracy > 0.1


def test_mnist_keeps_its_test_set_and_validates_on_its_last_training_images(real_data):
    made = digits(source="mnist", val_examples=5_000, scored_examples=100, batch=64)
    assert made.sizes == Sizes(inputs=784, outputs=10, length=1)
    source = image_sources.load("mnist", None)
    assert made.batches.steps == 55_000 // 64
    assert torch.equal(split(made, "test")[1], source.test_labels)
    assert torch.equal(split(made, "val")[1], source.train_labels[55_000:])
    assert (made.splits.train.min(), made.splits.train.max()) == (0, 1)


def test_a_few_steps_on_mnist_recognise_most_digits(command, real_data):
    run = ("model=mlp", "data=mnist", "steps=150", "batch=64", "optimizer=adam", "clip=inf")
    more = ("model.depth=2", "model.width=64", "data.scored_examples=1000")
    ended = command(*run, *more, *UNRECORDED)
    assert ended.code == 0, ended.err
    (row,) = results.read("multirun").itertuples()
    assert row.test_accuracy > 0.85
    assert row.val_accuracy > 0.85
