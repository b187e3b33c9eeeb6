"""Where handwritten digits come from: scikit-learn, or MNIST's files."""

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

from scaling.datamodules.files import File, data_folder, file_at
from scaling.datamodules.idx import read_idx
from scaling.seeds import generator_for

SOURCES = ("digits", "mnist")
CLASSES = 10
DIGITS_TEST = 397  # of its 1,797 examples


@dataclass(frozen=True, eq=False)
class Handwriting:
    """Images of single digits, and which digit each shows."""

    train: UInt8[Tensor, "train pixels"]
    train_labels: Integer[Tensor, " train"]
    test: UInt8[Tensor, "test pixels"]
    test_labels: Integer[Tensor, " test"]
    ink: int  # the largest value that a pixel can have; 0 is the background
    fingerprint: str  # of the content, wherever it lay


class Part(NamedTuple):
    """One of the four arrays that MNIST consists of."""

    file: str  # or the same with .gz
    shape: tuple[int, ...]
    sha256: str  # of the array's bytes, which is the file without its header


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
    """The images of `source`, read once per process unless a file changes.

    Args:
        source: `digits` or `mnist`.
        path: the folder of MNIST's files; null looks into $SCALING_DATA/mnist, and then asks the
            `datasets` library. Digits come with scikit-learn and have no files.

    Raises:
        ValueError: naming the file that is missing, damaged or not MNIST's, and the remedy.
    """
    if source not in SOURCES:
        raise ValueError(f"source={source} must be one of {', '.join(SOURCES)}")
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

    They lie in the order of their writers, so a fixed permutation comes first; the last examples of
    it are the test set.
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
    """MNIST (LeCun et al. 1998) from the Hub, where its images are PNG files."""
    from datasets import load_dataset  # imported here: it takes seconds, and few runs need it

    try:
        arrays = _unpacked(load_dataset("ylecun/mnist"))
    except Exception as error:  # whatever the network raises, the remedy is the same
        raise ValueError(
            f"MNIST is neither here nor could it be downloaded ({type(error).__name__}); put "
            f"{', '.join(f'{part.file}.gz' for part in MNIST.values())} into a folder and give it "
            "as path=..., or into $SCALING_DATA/mnist"
        ) from error
    checked = {key: _checked(key, array, "ylecun/mnist") for key, array in arrays.items()}
    return _handwriting(checked, ink=255)


def _unpacked(sets: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four arrays of MNIST as the `datasets` library has it."""
    arrays = {}
    for split in ("train", "test"):
        columns = sets[split].with_format("numpy")
        arrays[split] = np.stack(list(columns["image"])).astype(np.uint8)
        arrays[f"{split}_labels"] = np.asarray(columns["label"]).astype(np.uint8)
    return arrays


def _checked(key: str, array: np.ndarray, where: str) -> np.ndarray:
    """An array, if it is the one of MNIST that it should be.

    Raises:
        ValueError: saying in what it differs.
    """
    expected = MNIST[key]
    if array.shape != expected.shape:
        raise ValueError(
            f"{where} has the shape {array.shape}, and MNIST's {expected.file} {expected.shape}; "
            "fetch it again"
        )
    if key.endswith("labels") and array.max() >= CLASSES:
        raise ValueError(
            f"{where} has the label {array.max()} at position {array.argmax()}, and MNIST's are "
            f"0 to {CLASSES - 1}; fetch it again"
        )
    if hashlib.sha256(array.tobytes()).hexdigest() != expected.sha256:
        raise ValueError(
            f"{where} has the size of MNIST's {expected.file} but another content (sha256); fetch "
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
