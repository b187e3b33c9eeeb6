"""Sources of labeled images: scikit-learn's digits, MNIST, and idx files of the same format."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from scaling.contracts.limits import check_choice
from scaling.datamodules import idx_sets
from scaling.datamodules.files import File, data_folder, downloaded, existing
from scaling.datamodules.idx_sets import IdxSet
from scaling.seeds import generator_for

SOURCES = ("digits", "mnist", "idx")
DIGITS_TEST = 397  # of its 1,797 examples
MNIST = "06b0d1f124c4e5fa"  # fingerprint of the reference (LeCun et al. 1998)


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images to train on and to test on, and their labels."""

    train: UInt8[Tensor, "train pixels"]
    train_labels: Integer[Tensor, " train"]
    test: UInt8[Tensor, "test pixels"]
    test_labels: Integer[Tensor, " test"]
    ink: int  # largest possible value of a pixel; 0 is the background
    classes: int
    fingerprint: str  # identity of the content, independent of its path
    notes: tuple[str, ...]  # how the files were read, and whether they are not the reference


def load(source: str, path: str | None) -> LabeledImages:
    """Load images, once per process unless a file changes.

    Args:
        source: `digits`, `mnist` or `idx`.
        path: folder of four idx files, or one of them if the folder has several sets. For `mnist`,
            None looks into $SCALING_DATA/mnist, then downloads it with the `datasets` library; any
            other set of this format is read, with a note. Digits come with scikit-learn and have no
            files.

    Raises:
        ValueError: if a file is missing, damaged or does not fit the others, with the remedy.
    """
    check_choice(SOURCES, source=source)
    if source == "digits":
        if path is not None:
            raise ValueError(f"path={path} must be null; digits come with scikit-learn")
        return _digits()
    if source == "idx":
        if path is None:
            raise ValueError(f"path is missing; give a folder with {idx_sets.ALL}")
        return _files(idx_sets.find(existing(path)), None)
    place = data_folder(path, "mnist")
    return _download() if place is None else _files(idx_sets.find(place), MNIST)


@lru_cache(maxsize=1)
def _digits() -> LabeledImages:
    """Optical recognition of handwritten digits (Alpaydin and Kaynak 1998): 8 x 8 pixels of 0-16.

    They are in the order of their writers, so they are permuted, always in the same way; the last
    examples are the test set.
    """
    from sklearn.datasets import load_digits  # imported here: it takes a second

    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=generator_for("data", 0)).numpy()
    images, labels = images.astype(np.uint8)[order], labels.astype(np.uint8)[order]
    cut = len(labels) - DIGITS_TEST
    return _tensors(IdxSet(images[:cut], labels[:cut], images[cut:], labels[cut:], 10, ()), ink=16)


@lru_cache(maxsize=1)
def _files(files: tuple[File, ...], reference: str | None) -> LabeledImages:
    names = f"{files[0].path.name} and the {len(files) - 1} other files"
    return _tensors(idx_sets.read(files), ink=255, reference=reference, names=names)


@lru_cache(maxsize=1)
def _download() -> LabeledImages:
    """MNIST from the Hub."""
    try:
        arrays = _unpacked(downloaded("ylecun/mnist"))
    except Exception as error:  # the remedy is the same for every error
        raise ValueError(
            f"MNIST is missing and could not be downloaded ({type(error).__name__}); put "
            f"{idx_sets.ALL} into a folder and give it as path=..., or into $SCALING_DATA/mnist"
        ) from error
    return _tensors(
        IdxSet(**arrays, classes=10, notes=()),
        ink=255,
        reference=MNIST,
        names="the arrays of ylecun/mnist",
    )


def _unpacked(sets: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four arrays of MNIST from a data set of the `datasets` library."""
    arrays = {}
    for split in ("train", "test"):
        columns = sets[split].with_format("numpy")
        arrays[split] = np.stack(list(columns["image"])).astype(np.uint8)
        arrays[f"{split}_labels"] = np.asarray(columns["label"]).astype(np.uint8)
    return arrays


def _tensors(
    arrays: IdxSet, *, ink: int, reference: str | None = None, names: str = ""
) -> LabeledImages:
    """Tensors with the identity of their content, and a note if they are not the reference."""
    content = hashlib.sha256()
    for array in arrays[:4]:
        content.update(np.ascontiguousarray(array).data)
    fingerprint = content.hexdigest()[:16]
    notes = arrays.notes
    if reference not in (None, fingerprint):
        notes = (f"{names} (fingerprint {fingerprint}) differ from the reference, MNIST", *notes)
    return LabeledImages(
        torch.tensor(arrays.train).flatten(1),
        torch.tensor(arrays.train_labels).long(),
        torch.tensor(arrays.test).flatten(1),
        torch.tensor(arrays.test_labels).long(),
        ink,
        arrays.classes,
        fingerprint,
        notes,
    )
