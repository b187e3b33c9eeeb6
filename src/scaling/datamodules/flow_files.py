"""Files of network records: find them, check their content, turn them into numbers."""

import hashlib
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from scaling.datamodules.files import File, data_folder, file_at

DECIMALS = 4  # of log(1 + x)


def folder(path: str | None, name: str) -> Path:
    """The folder of a data set: `path`, else below $SCALING_DATA.

    Raises:
        ValueError: if there is no such folder.
    """
    place = data_folder(path, name)
    if place is None:
        raise ValueError(
            f"path is null and there is no $SCALING_DATA/{name}; put the files of {name} into that "
            "folder, or into one that you give as path=..."
        )
    return place


def existing(place: Path, names: Sequence[str]) -> tuple[File, ...]:
    """The files of these names that exist in a folder.

    Raises:
        ValueError: if none exists.
    """
    if files := tuple(file_at(place / name) for name in names if (place / name).exists()):
        return files
    others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise ValueError(f"path: {place / names[0]} does not exist{others}; put it there")


def reference(files: Sequence[File], sha256: str) -> File:
    """The file with this checksum; the first if none has it.

    Raises:
        ValueError: if one cannot be read.
    """
    return next((file for file in files if checksum(file) == sha256), files[0])


@lru_cache(maxsize=32)
def checksum(file: File) -> str:
    """SHA-256 of the content of a file, unpacked if it is a zip archive.

    Raises:
        ValueError: if it cannot be read.
    """
    return hashlib.sha256(_unpacked(file.path)).hexdigest()


def content(file: File, sha256: str) -> bytes:
    """Read a file, unpacked if it is a zip archive.

    Raises:
        ValueError: if it cannot be read, or its checksum differs.
    """
    raw = _unpacked(file.path)
    actual = hashlib.sha256(raw).hexdigest()
    if actual != sha256:
        raise ValueError(
            f"path: {file.path} has sha256 {actual[:12]}, but the expected file has "
            f"{sha256[:12]}; fetch it again"
        )
    return raw


def _unpacked(file: Path) -> bytes:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                return packed.read(packed.namelist()[0])
        return file.read_bytes()
    except (OSError, zipfile.BadZipFile, IndexError) as error:
        raise ValueError(f"path: cannot read {file} ({error}); fetch it again") from error


def numbers(
    table: pd.DataFrame, symbols: Sequence[object]
) -> Float32[np.ndarray, "records features"]:
    """Convert records to numbers: log(1 + x) to four decimals, and symbols by alphabetical rank.

    The values are not negative and have heavy tails. By rounding, records that differ by less
    become duplicates.

    Args:
        table: a row for each record.
        symbols: columns of text.
    """
    columns = [
        np.unique(table[name].to_numpy(str), return_inverse=True)[1]
        if name in symbols
        else np.log1p(table[name].to_numpy(float)).round(DECIMALS)
        for name in table.columns
    ]
    return np.stack(columns, axis=1).astype(np.float32)
