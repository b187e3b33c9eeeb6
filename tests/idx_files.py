"""Idx files as LeCun describes them, for tests."""

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MNIST = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
TYPES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array: np.ndarray, kind: str = "u1") -> bytes:
    """An idx file: two zeros, the type, the number of axes, the length of each, the numbers."""
    lengths = b"".join(struct.pack(">I", n) for n in array.shape)
    return bytes([0, 0, TYPES[kind], array.ndim]) + lengths + array.astype(kind).tobytes()


def a_set(shape: tuple[int, ...] = (4, 5), labels: range = range(10)) -> list[np.ndarray]:
    """Images and labels to train on, 60, and to test on, 20; every label is among both."""
    draws = np.random.default_rng(0)
    parts = []
    for count in (60, 20):
        given = draws.permutation(np.resize(np.array(labels), count))
        parts += [draws.integers(256, size=(count, *shape)), given]
    return parts


def write_set(
    folder: Path,
    arrays: Sequence[np.ndarray],
    names: Sequence[str] = MNIST,
    kinds: Sequence[str] = ("u1",) * 4,
) -> Path:
    """Write four files, those whose name ends in .gz packed."""
    folder.mkdir(parents=True, exist_ok=True)
    for array, name, kind in zip(arrays, names, kinds, strict=True):
        raw = idx(array, kind)
        (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return folder
