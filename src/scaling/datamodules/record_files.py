"""Files of network records: found, known by their content, and turned into numbers."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

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


def existing(place: Path, names: Sequence[str]) -> tuple[Path, int, int]:
    """The first of some files that exists, and what tells that it has changed.

    Raises:
        ValueError: naming the file that should be there.
    """
    for name in names:
        file = place / name
        if file.exists():
            stat = file.stat()
            return file.absolute(), stat.st_mtime_ns, stat.st_size
    others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise ValueError(f"data.path: {place / names[0]} does not exist{others}; put it there")


def content(file: Path, sha256: str) -> bytes:
    """What is in a file, unpacked if it is a zip archive of one.

    Raises:
        ValueError: if it cannot be read, or is not what it should be.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                raw = packed.read(packed.namelist()[0])
        else:
            raw = file.read_bytes()
    except (OSError, zipfile.BadZipFile, IndexError) as error:
        raise ValueError(f"data.path: cannot read {file} ({error}); fetch it again") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise ValueError(
            f"data.path: {file} has another content (sha256 {found[:12]}) than the file that is "
            f"known ({sha256[:12]}); fetch it again"
        )
    return raw


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
