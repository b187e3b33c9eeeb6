"""Sources of handwritten digits: scikit-learn and MNIST."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from scaling.contracts.limits import check_choice
from scaling.datamodules.files import File, data_folder, file_at
from scaling.datamodules.idx import read_idx
from scaling.seeds import generator_for

SOURCES = ("digits", "mnist")
CLASSES = 10
DIGITS_TEST = 397  # of its 1,797 examples


@dataclass(frozen=True, eq=False)
class Handwriting:
    """Images of handwritten digits and their labels."""

    train: UInt8[Tensor, "train pixels"]
    train_labels: Integer[Tensor, " train"]
    test: UInt8[Tensor, "test pixels"]
    test_labels: Integer[Tensor, " test"]
    ink: int  # largest possible value of a pixel; 0 is the background
    fingerprint: str  # identity of the content, independent of its path


class Part(NamedTuple):
    """One of the four arrays of MNIST."""

    file: str  # name of the file, with or without .gz
    shape: tuple[int, ...]
    sha256: str  # checksum of the array, the file without its header


MNIST = {
    "train": Part(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    "train_labels": Part(
        "train-labels-idx1-ubyte",
        (60_000,),
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ),
    "test": Part(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ),
    "test_labels": Part(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
}


def load(source: str, path: str | None) -> Handwriting:
    """Load images, once per process unless a file changes.

    Args:
        source: `digits` or `mnist`.
        path: folder of MNIST's files; None looks into $SCALING_DATA/mnist, then downloads them with
            the `datasets` library. Digits come with scikit-learn and have no files.

    Raises:
        ValueError: if a file is missing, damaged or not MNIST's, with the remedy.
    """
    check_choice(SOURCES, source=source)
    if source == "digits":
        if path is not None:
            raise ValueError(f"path={path} must be null; digits come with scikit-learn")
        return _digits()
    folder = data_folder(path, "mnist")
    if folder is None:
        return _download()
    return _files(tuple(_packed_or_not(folder, part.file) for part in MNIST.values()))


@lru_cache(maxsize=1)
def _digits() -> Handwriting:
    """Optical recognition of handwritten digits (Alpaydin and Kaynak 1998): 8 x 8 pixels of 0-16.

    They are in the order of their writers, so they are permuted, always in the same way; the last
    examples are the test set.
    """
    from sklearn.datasets import load_digits  # imported here: it takes a second

    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=generator_for("data", 0)).numpy()
    images, labels = images.astype(np.uint8)[order], labels.astype(np.uint8)[order]
    cut = len(labels) - DIGITS_TEST
    return _handwriting(
        {
            "train": images[:cut],
            "train_labels": labels[:cut],
            "test": images[cut:],
            "test_labels": labels[cut:],
        },
        ink=16,
    )


def _packed_or_not(folder: Path, name: str) -> File:
    for file in (folder / f"{name}.gz", folder / name):
        if file.exists():
            return file_at(file)
    raise ValueError(f"path: {folder / name}.gz does not exist; put it there")


@lru_cache(maxsize=1)
def _files(files: tuple[File, ...]) -> Handwriting:
    arrays = {}
    for key, file in zip(MNIST, files, strict=True):
        arrays[key] = _checked(key, read_idx(file.path), f"path: {file.path}")
    return _handwriting(arrays, ink=255)


@lru_cache(maxsize=1)
def _download() -> Handwriting:
    """MNIST (LeCun et al. 1998) from the Hub."""
    from datasets import load_dataset  # imported here: it takes seconds, and few runs need it

    try:
        arrays = _unpacked(load_dataset("ylecun/mnist"))
    except Exception as error:  # the remedy is the same for every error
        raise ValueError(
            f"MNIST is missing and could not be downloaded ({type(error).__name__}); put "
            f"{', '.join(f'{part.file}.gz' for part in MNIST.values())} into a folder and give it "
            "as path=..., or into $SCALING_DATA/mnist"
        ) from error
    checked = {key: _checked(key, array, "ylecun/mnist") for key, array in arrays.items()}
    return _handwriting(checked, ink=255)


def _unpacked(sets: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four arrays of MNIST from a data set of the `datasets` library."""
    arrays = {}
    for split in ("train", "test"):
        columns = sets[split].with_format("numpy")
        arrays[split] = np.stack(list(columns["image"])).astype(np.uint8)
        arrays[f"{split}_labels"] = np.asarray(columns["label"]).astype(np.uint8)
    return arrays


def _checked(key: str, array: np.ndarray, where: str) -> np.ndarray:
    """Check that an array is the expected one of MNIST, and return it.

    Raises:
        ValueError: saying how it differs.
    """
    expected = MNIST[key]
    if array.shape != expected.shape:
        raise ValueError(
            f"{where} has the shape {array.shape}, but MNIST's {expected.file} {expected.shape}; "
            "fetch it again"
        )
    if key.endswith("labels") and array.max() >= CLASSES:
        raise ValueError(
            f"{where} has the label {array.max()} at position {array.argmax()}, but MNIST's are "
            f"0 to {CLASSES - 1}; fetch it again"
        )
    if hashlib.sha256(array.tobytes()).hexdigest() != expected.sha256:
        raise ValueError(
            f"{where} has the size of MNIST's {expected.file} but other content (sha256); fetch "
            "it again"
        )
    return array


def _handwriting(arrays: Mapping[str, np.ndarray], *, ink: int) -> Handwriting:
    content = hashlib.sha256(b"".join(arrays[key].tobytes() for key in MNIST)).hexdigest()

    def images(key: str) -> Tensor:
        return torch.tensor(arrays[key]).flatten(1)

    def labels(key: str) -> Tensor:
        return torch.tensor(arrays[key]).long()

    return Handwriting(
        images("train"),
        labels("train_labels"),
        images("test"),
        labels("test_labels"),
        ink,
        content[:16],
    )
