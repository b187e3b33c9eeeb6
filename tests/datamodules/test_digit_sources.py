"""Digits are the expected ones, or refused with the file's name and the remedy."""

import gzip
import shutil
import struct

import numpy as np
import pytest
import torch

from scaling.datamodules import digit_sources
from scaling.datamodules.digit_sources import MNIST


@pytest.fixture
def mnist(real_data, tmp_path):
    """A folder with copies of MNIST's files, to be changed."""
    for part in MNIST.values():
        shutil.copy(real_data / "mnist" / f"{part.file}.gz", tmp_path)
    return tmp_path


def rewrite(folder, key: str, change) -> None:
    """Change the unpacked bytes of one of MNIST's files."""
    file = folder / f"{MNIST[key].file}.gz"
    file.write_bytes(gzip.compress(change(gzip.decompress(file.read_bytes())), compresslevel=1))


def test_digits_are_those_of_scikit_learn_each_once_in_a_fixed_order():
    from sklearn.datasets import load_digits

    got, (images, labels) = digit_sources.load("digits", None), load_digits(return_X_y=True)
    assert (len(got.train), len(got.test)) == (1400, 397)
    rows = [
        (*image.tolist(), label.item())
        for images, labels in ((got.train, got.train_labels), (got.test, got.test_labels))
        for image, label in zip(images, labels, strict=True)
    ]
    wanted = [(*map(int, image), int(label)) for image, label in zip(images, labels, strict=True)]
    assert sorted(rows) == sorted(wanted)
    assert rows != wanted
    assert got.fingerprint == "3a2ca869d22d066e"  # the same split on every machine


def test_every_class_is_in_each_part_of_the_digits():
    got = digit_sources.load("digits", None)
    for labels in (got.train_labels[:1000], got.train_labels[1000:], got.test_labels):
        counts = torch.bincount(labels, minlength=10)
        assert (counts / len(labels) - 0.1).abs().max() < 5 * (0.09 / len(labels)) ** 0.5


def test_mnist_is_read_from_its_files(real_data):
    got = digit_sources.load("mnist", str(real_data / "mnist"))
    assert (got.train.shape, got.test.shape) == ((60_000, 784), (10_000, 784))
    assert got.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert got.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pixels = got.train.numpy() / 255  # as published everywhere
    assert (pixels.mean(), pixels.std()) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_the_place_and_packing_of_mnist_change_nothing(mnist, monkeypatch):
    monkeypatch.setenv("SCALING_DATA", str(mnist.parent))
    mnist.rename(mnist.parent / "mnist")
    folder = mnist.parent / "mnist"
    packed = digit_sources.load("mnist", None)
    for part in MNIST.values():
        file = folder / f"{part.file}.gz"
        (folder / part.file).write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    unpacked = digit_sources.load("mnist", None)
    assert packed is not unpacked
    assert packed.fingerprint == unpacked.fingerprint


def test_a_truncated_file_is_refused(mnist):
    file = mnist / f"{MNIST['train'].file}.gz"
    file.write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz is truncated or damaged"):
        digit_sources.load("mnist", str(mnist))


def test_a_label_outside_the_digits_is_refused(mnist):
    rewrite(mnist, "test_labels", lambda raw: raw[:108] + b"\x0b" + raw[109:])
    with pytest.raises(ValueError, match="has the label 11 at position 100, but MNIST's are 0 to"):
        digit_sources.load("mnist", str(mnist))


def test_another_pixel_is_refused(mnist):
    rewrite(mnist, "test", lambda raw: raw[:-1] + b"\x01")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte.gz has the size of .*sha256"):
        digit_sources.load("mnist", str(mnist))


def test_files_that_are_swapped_are_refused(mnist):
    train, test = (mnist / f"{MNIST[key].file}.gz" for key in ("train", "test"))
    train.replace(mnist / "kept")
    test.replace(train)
    (mnist / "kept").replace(test)
    with pytest.raises(ValueError, match=r"has the shape \(10000, 28, 28\), but MNIST's train-im"):
        digit_sources.load("mnist", str(mnist))


def test_a_file_that_is_missing_or_small_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz does not exist; put it there"):
        digit_sources.load("mnist", str(tmp_path))
    for part in MNIST.values():
        header = bytes([0, 0, 8, 1]) + struct.pack(">I", 3)
        (tmp_path / part.file).write_bytes(header + b"\0\1\2")
    with pytest.raises(ValueError, match=r"has the shape \(3,\), but MNIST's train-images-idx3"):
        digit_sources.load("mnist", str(tmp_path))


def test_labels_are_checked_before_their_checksum():
    labels = np.zeros(60_000, np.uint8)
    with pytest.raises(ValueError, match="F has the size of MNIST's train-labels-idx1-ubyte but"):
        digit_sources._checked("train_labels", labels, "F")
    labels[7] = 10
    with pytest.raises(ValueError, match="F has the label 10 at position 7, but MNIST's are 0 to"):
        digit_sources._checked("train_labels", labels, "F")


def test_a_missing_mnist_says_which_files_to_put_where(monkeypatch):
    import datasets

    def offline(*names):
        raise ConnectionError("no network")

    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz, .* into a folder and give"):
        digit_sources.load("mnist", None)


def test_images_of_the_datasets_library_become_the_arrays_of_the_files():
    from datasets import ClassLabel, Dataset, Features, Image
    from PIL import Image as Picture

    draws = np.random.default_rng(0)
    sets, wanted = {}, {}
    for split in ("train", "test"):
        images = draws.integers(256, size=(5, 28, 28), dtype=np.uint8)
        labels = draws.integers(10, size=5, dtype=np.uint8)
        sets[split] = Dataset.from_dict(
            {"image": [Picture.fromarray(image) for image in images], "label": labels.tolist()},
            features=Features({"image": Image(), "label": ClassLabel(num_classes=10)}),
        )
        wanted |= {split: images, f"{split}_labels": labels}
    got = digit_sources._unpacked(sets)
    assert list(got) == list(wanted)
    for key, array in wanted.items():
        np.testing.assert_array_equal(got[key], array)


@pytest.mark.parametrize(
    ("source", "path", "said"),
    [
        ("digits", "here", "path=here must be null; digits come with scikit-learn"),
        ("letters", None, "source=letters must be one of digits, mnist"),
    ],
)
def test_a_source_without_files_or_that_does_not_exist_is_refused(source, path, said):
    with pytest.raises(ValueError, match=said):
        digit_sources.load(source, path)
