"""Images are read from scikit-learn and from idx files; a note says which are not MNIST."""

import logging

import numpy as np
import pytest
import torch
from idx_files import MNIST, a_set, idx, write_set

from scaling.datamodules import image_sources
from scaling.datamodules.idx import read_idx


def test_digits_are_those_of_scikit_learn_each_once_in_a_fixed_order():
    from sklearn.datasets import load_digits

    got, (images, labels) = image_sources.load("digits", None), load_digits(return_X_y=True)
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
    got = image_sources.load("digits", None)
    for labels in (got.train_labels[:1000], got.train_labels[1000:], got.test_labels):
        counts = torch.bincount(labels, minlength=10)
        assert (counts / len(labels) - 0.1).abs().max() < 5 * (0.09 / len(labels)) ** 0.5


def test_mnist_is_read_from_its_files(real_data):
    got = image_sources.load("mnist", str(real_data / "mnist"))
    assert (got.train.shape, got.test.shape) == ((60_000, 784), (10_000, 784))
    assert got.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert got.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pixels = got.train.numpy() / 255  # as published everywhere
    assert (pixels.mean(), pixels.std()) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_the_place_and_packing_of_mnist_change_nothing(real_data, tmp_path):
    packed = image_sources.load("mnist", str(real_data / "mnist"))
    for name in MNIST:
        (tmp_path / name).write_bytes(idx(read_idx(real_data / "mnist" / f"{name}.gz")))
    for source in ("mnist", "idx"):
        unpacked = image_sources.load(source, str(tmp_path))
        assert packed is not unpacked
        assert (packed.fingerprint, packed.notes) == (unpacked.fingerprint, unpacked.notes)
        assert torch.equal(packed.test, unpacked.test)


def test_the_reference_is_mnist_and_nothing_else(real_data, tmp_path):
    assert image_sources.load("mnist", None).notes == ()
    arrays = [read_idx(real_data / "mnist" / f"{name}.gz") for name in MNIST]
    arrays[2] = arrays[2].copy()
    arrays[2][-1, -1, -1] += 1  # one pixel
    changed = image_sources.load("mnist", str(write_set(tmp_path, arrays)))
    assert changed.fingerprint != image_sources.MNIST
    assert changed.notes == (
        f"{MNIST[0]} and the 3 other files (fingerprint {changed.fingerprint}) differ from the "
        "reference, MNIST",
    )


def test_other_images_in_the_format_of_mnist_are_read_with_a_note(tmp_path):
    arrays = a_set((28, 28), range(47))
    write_set(tmp_path, arrays)
    found = image_sources.load("mnist", str(tmp_path))
    assert (found.train.shape, found.test.shape, found.classes) == ((60, 784), (20, 784), 47)
    np.testing.assert_array_equal(found.train.numpy(), arrays[0].reshape(60, 784))
    np.testing.assert_array_equal(found.train_labels.numpy(), arrays[1])
    (note,) = found.notes
    assert "differ from the reference, MNIST" in note
    own = image_sources.load("idx", str(tmp_path))
    assert (own.fingerprint, own.notes) == (found.fingerprint, ())


def test_images_have_any_size_and_a_changed_file_is_read_again(tmp_path):
    for shape in ((8, 8), (3, 5, 2), (17,)):
        found = image_sources.load("idx", str(write_set(tmp_path, a_set(shape))))
        assert found.test.shape == (20, np.prod(shape))


def test_a_truncated_file_is_refused(tmp_path):
    write_set(tmp_path, a_set(), [f"{name}.gz" for name in MNIST])
    file = tmp_path / f"{MNIST[0]}.gz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"images-idx3-ubyte.gz is truncated or damaged; fetch it"):
        image_sources.load("mnist", str(tmp_path))


def test_without_a_network_only_the_files_to_put_where_are_named(monkeypatch, tmp_path):
    import datasets

    for proxy in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.addHandler(handler)
    try:
        with pytest.raises(ValueError, match=r"put train-images-idx3-ubyte.gz, .* into a folder"):
            image_sources.load("mnist", None)
    finally:
        hub.removeHandler(handler)
    assert [record.getMessage() for record in records] == []
    assert hub.level == level


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
    got = image_sources._unpacked(sets)
    assert list(got) == list(wanted)
    for key, array in wanted.items():
        np.testing.assert_array_equal(got[key], array)


@pytest.mark.parametrize(
    ("source", "path", "said"),
    [
        ("digits", "here", "path=here must be null; digits come with scikit-learn"),
        ("letters", None, "source=letters must be one of digits, mnist, idx"),
        ("idx", None, "path is missing; give a folder with train-images-idx3-ubyte.gz, "),
        ("idx", "nowhere", "path=nowhere does not exist; give a file or a folder"),
    ],
)
def test_a_source_without_files_or_that_does_not_exist_is_refused(source, path, said):
    with pytest.raises(ValueError, match=said):
        image_sources.load(source, path)
