"""Sets of idx files: images and labels to train on and to test on, found by their names."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Num, UInt8

from scaling.contracts.words import counted
from scaling.datamodules.files import File, file_at, files_in, files_like, listed, plain_name
from scaling.datamodules.idx import read_idx

# train-images-idx3-ubyte, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte, ...
NAME = re.compile(
    r"((?P<set>.+?)[-_.])?(?P<split>train|t10k|test)[-_.](?P<kind>images|labels)"
    r"([-_.](idx|ubyte).*)?"
)
USUAL = {  # part of a set -> usual name of its file
    "train images": "train-images-idx3-ubyte.gz",
    "train labels": "train-labels-idx1-ubyte.gz",
    "test images": "t10k-images-idx3-ubyte.gz",
    "test labels": "t10k-labels-idx1-ubyte.gz",
}
ALL = ", ".join(USUAL.values())


class IdxSet(NamedTuple):
    """Images and classes, and notes on how they were read."""

    train: UInt8[np.ndarray, "train ..."]
    train_labels: Integer[np.ndarray, " train"]  # 0 to classes - 1
    test: UInt8[np.ndarray, "test ..."]
    test_labels: Integer[np.ndarray, " test"]
    classes: int
    notes: tuple[str, ...]


def find(place: Path) -> tuple[File, ...]:
    """The four files of a set, in the order of `USUAL`.

    A set is the files whose names have the same beginning before `train`, `test` or `t10k`.
    Subfolders are searched if the folder has no such file itself.

    Args:
        place: a folder with one set, or one file of a set.

    Raises:
        ValueError: if a file is missing, or there are several sets; the message lists what is
            there.
    """
    folder = place if place.is_dir() else place.parent
    sets = _sets(folder, files_like(folder, _match))
    if place != folder:
        sets = {name: sets[name] for name in _sets(folder, [place])}
    complete = {name: parts for name, parts in sets.items() if set(parts) == set(USUAL)}
    if len(complete) > 1:
        raise ValueError(
            f"path: {folder} has several sets ({', '.join(complete)}); give a file of one, such as "
            f"path={next(iter(complete.values()))['train images'][0]}"
        )
    for parts in complete.values():
        for part, several in parts.items():
            if len(several) > 1:
                raise ValueError(
                    f"path: {folder} has several files of {part} ({_names(several)}); keep one"
                )
        return tuple(file_at(parts[part][0]) for part in USUAL)
    there = max(sets.values(), key=len, default={})
    missing = [part for part in USUAL if part not in there]
    usual = ", ".join(USUAL[part] for part in missing)
    raise ValueError(
        f"path: {place} has no {', '.join(missing)}; put {usual}, or files with such names, there; "
        f"{listed(files_in(folder), folder)}"
    )


def _match(file: Path) -> re.Match[str] | None:
    return NAME.fullmatch(plain_name(file))


def _sets(folder: Path, files: list[Path]) -> dict[str, dict[str, list[Path]]]:
    """Name of a set -> part -> its files."""
    sets: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        if match := _match(file):
            place = file.relative_to(folder).parent / (match["set"] or "")
            split = "train" if match["split"] == "train" else "test"
            sets[str(place)][f"{split} {match['kind']}"].append(file)
    return sets


def read(files: tuple[File, ...]) -> IdxSet:
    """Read the files of a set, from `find`.

    Classes are the ranks of the labels that occur. Labels with several columns, as QMNIST's, have
    the class in the first.

    Raises:
        ValueError: if a file is damaged, has other axes or numbers than needed, or does not fit the
            others.
    """
    train, train_labels, test, test_labels = (read_idx(file.path) for file in files)
    for file, images in ((files[0], train), (files[2], test)):
        if images.ndim < 2 or images.dtype != np.uint8:
            raise ValueError(
                f"path: {file.path} holds {_kind(images)}; images are bytes with at least 2 axes, "
                "and the first axis counts them"
            )
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"path: images of {files[0].path} have the shape {train.shape[1:]}, but those of "
            f"{files[2].path} {test.shape[1:]}; give files of one set"
        )
    given = []
    for images, labels, (image_file, label_file) in (
        (train, train_labels, files[:2]),
        (test, test_labels, files[2:]),
    ):
        given.append(_first_column(label_file.path, labels))
        if len(images) != len(labels) or not len(labels):
            raise ValueError(
                f"path: {image_file.path} has {len(images)} images, but {label_file.path} "
                f"{len(labels)} labels; fetch them again"
            )
    names, ranks = np.unique(np.concatenate(given), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"path: {files[1].path} has the label {names[0]} only; give two classes")
    classes = ranks.astype(np.uint8 if len(names) <= 256 else np.int64)
    cut = len(train_labels)
    return IdxSet(
        train, classes[:cut], test, classes[cut:], len(names), tuple(_notes(names, train_labels))
    )


def _first_column(file: Path, labels: Num[np.ndarray, "..."]) -> Integer[np.ndarray, " examples"]:
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"path: {file} holds {_kind(labels)}; labels are whole numbers with one axis, or with "
            "the class in the first column"
        )
    return labels if labels.ndim == 1 else labels[:, 0]


def _notes(names: Integer[np.ndarray, " classes"], labels: Num[np.ndarray, "..."]) -> list[str]:
    """Notes on labels that are not the numbers of the classes from 0."""
    last = len(names) - 1
    notes = []
    if labels.ndim == 2:
        notes.append(f"classes are the first of {counted(labels.shape[1], 'column')} of labels")
    if names[0] != 0 or names[-1] != last:
        gaps = "" if names[-1] - names[0] == last else f" ({last + 1} of them occur)"
        notes.append(f"labels {names[0]} to {names[-1]}{gaps} became classes 0 to {last}")
    return notes


def _kind(array: Num[np.ndarray, "..."]) -> str:
    return f"{counted(array.ndim, 'axis', 'axes')} of type {array.dtype}"


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files)
