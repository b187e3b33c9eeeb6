"""Files of network records: found, known by their content, and turned into numbers."""

import hashlib
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from scaling.datamodules.files import File, data_folder, file_at

DECIMALS = 4  # of log1p; values that differ by less are the same


def folder(path: str | None, name: str) -> Path:
    """Where the files of a data set are: `path`, else below $SCALING_DATA.

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
    """Those of some files in a folder that exist.

    Raises:
        ValueError: naming the file that should be there.
    """
    if files := tuple(file_at(place / name) for name in names if (place / name).exists()):
        return files
    others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise ValueError(f"path: {place / names[0]} does not exist{others}; put it there")


def reference(files: Sequence[File], sha256: str) -> File:
    """That one of some files whose content is known; the first if none is.

    Raises:
        ValueError: if one cannot be read.
    """
    return next((file for file in files if checksum(file) == sha256), files[0])


@lru_cache(maxsize=32)
def checksum(file: File) -> str:
    """SHA-256 of what a file holds, unpacked if it is a zip archive; taken again once it changes.

    Raises:
        ValueError: if it cannot be read.
    """
    return hashlib.sha256(_unpacked(file.path)).hexdigest()


def content(file: File, sha256: str) -> bytes:
    """What a file holds, unpacked if it is a zip archive.

    Raises:
        ValueError: if it cannot be read, or is not what it should be.
    """
    raw = _unpacked(file.path)
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise ValueError(
            f"path: {file.path} has another content (sha256 {found[:12]}) than the file that "
            f"is known ({sha256[:12]}); fetch it again"
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
    """Records as numbers: log(1 + x) to four decimals, and symbols numbered alphabetically.

    Values are not negative and have heavy tails. Two records differ in these numbers exactly if
    they differ at that precision, so that duplicates can be told by them.
    """
    columns = [
        np.unique(table[name].to_numpy(str), return_inverse=True)[1]
        if name in symbols
        else np.log1p(table[name].to_numpy(float)).round(DECIMALS)
        for name in table.columns
    ]
    return np.stack(columns, axis=1).astype(np.float32)
