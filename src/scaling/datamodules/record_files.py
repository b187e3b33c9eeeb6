"""Files of network records: found, known by their content, and turned into numbers."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32

DECIMALS = 4  # of log1p; values that differ by less are the same


def folder(path: str | None, name: str) -> Path:
    """Where the files of a data set are: `path`, else below $SCALING_DATA.

    Raises:
        ValueError: if neither is given.
    """
    if path is None and "SCALING_DATA" not in os.environ:
        raise ValueError(
            f"data.path is null and SCALING_DATA is not set; put the files of {name} into a folder "
            f"and set data.path to it, or into $SCALING_DATA/{name}"
        )
    return Path(path) if path else Path(os.environ["SCALING_DATA"], name)


class Found(NamedTuple):
    """A file, and what tells that it has changed."""

    path: Path
    changed: int  # in ns
    size: int


def existing(place: Path, names: Sequence[str]) -> tuple[Found, ...]:
    """Those of some files in a folder that exist.

    Raises:
        ValueError: naming the file that should be there.
    """
    files = [place.absolute() / name for name in names]
    stats = {file: file.stat() for file in files if file.exists()}
    if stats:
        return tuple(Found(file, s.st_mtime_ns, s.st_size) for file, s in stats.items())
    others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise ValueError(f"data.path: {place / names[0]} does not exist{others}; put it there")


def content(files: Sequence[Found], sha256: str) -> bytes:
    """What is in that one of some files whose content is known, unpacked if it is a zip archive.

    Raises:
        ValueError: if one cannot be read, or none is what it should be.
    """
    contents = {file.path: _unpacked(file.path) for file in files}
    found = {path: hashlib.sha256(raw).hexdigest() for path, raw in contents.items()}
    for path, raw in contents.items():
        if found[path] == sha256:
            return raw
    path = files[0].path
    raise ValueError(
        f"data.path: {path} has another content (sha256 {found[path][:12]}) than the file that is "
        f"known ({sha256[:12]}); fetch it again"
    )


def _unpacked(file: Path) -> bytes:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                return packed.read(packed.namelist()[0])
        return file.read_bytes()
    except (OSError, zipfile.BadZipFile, IndexError) as error:
        raise ValueError(f"data.path: cannot read {file} ({error}); fetch it again") from error


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
