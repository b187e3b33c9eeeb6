"""Files of network records: find them, and turn their columns into numbers."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Shaped

from scaling.contracts.words import counted
from scaling.datamodules.files import data_folder, files_in, listed, plain_name

TABLE = re.compile(r"\.(txt|csv|tsv|arff)$")  # ending of tables in folders
DECIMALS = 4  # of log(1 + x)
# usual names of the column with the kind of a record; the first that is there is taken
LABELS = (
    *("attack_cat", "attack_type", "attack_name", "attack", "class", "label", "labels"),
    *("attack_label", "outcome"),
)
NORMAL = ("normal", "benign", "background", "legitimate", "0")  # usual names of no attack


def place_of(path: str | None, name: str) -> Path:
    """The file or folder of a data set: `path`, else below $SCALING_DATA.

    Raises:
        ValueError: if there is none.
    """
    place = data_folder(path, name)
    if place is None:
        raise ValueError(
            f"path is null and there is no $SCALING_DATA/{name}; put the files of {name} into that "
            "folder, or into one that you give as path=..."
        )
    return place


def tables_in(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders that may be tables, ARFF last, sorted by name."""
    files = [
        file
        for file in files_in(folder)
        if TABLE.search(plain_name(file)) or file.suffix.lower() == ".zip"
    ]
    return sorted(files, key=lambda file: plain_name(file).endswith(".arff"))


def train_and_test(place: Path, train: Sequence[str], test: Sequence[str]) -> tuple[Path, Path]:
    """The files of training and test data.

    Of a folder these are the first of the given names that is there, else the only table with
    `train` or `test` in its name.

    Args:
        place: their folder, or the training file, beside which the test file is.
        train: usual names of the training file, without endings; the most wanted first.
        test: the same of the test file.

    Raises:
        ValueError: if one is missing, or there are several; the message lists what is there.
    """
    folder = place if place.is_dir() else place.parent
    first = _named(folder, train, "train") if place == folder else place
    return first, _named(folder, test, "test")


def _named(folder: Path, names: Sequence[str], word: str) -> Path:
    tables = tables_in(folder)
    for name in names:
        for file in tables:
            if TABLE.sub("", plain_name(file)) == name.lower():
                return file
    having = [file for file in tables if word in plain_name(file)]
    if len(having) == 1:
        return having[0]
    usual = ", ".join([*names, f"{'or ' if names else ''}one with {word} in its name"])
    raise ValueError(
        f"path: {folder} has {counted(len(having), 'file')} with {word} in their names; keep one, "
        f"or give the training file itself; {listed(having, folder)}"
        if having
        else f"path: {folder} has no {word} data ({usual}); {listed(files_in(folder), folder)}"
    )


def columns(table: pd.DataFrame, names: Sequence[str], path: Path) -> pd.DataFrame:
    """Columns of a table by their names.

    Raises:
        ValueError: naming those that are missing.
    """
    if not len(table.columns) or not isinstance(table.columns[0], str):
        raise ValueError(
            f"path: {path} has no header with the names of its {counted(table.shape[1], 'column')}"
        )
    if missing := [name for name in names if name not in table]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(
            f"path: {path} has no column {', '.join(missing[:5])}{more}; tables with other columns "
            "are for data=records"
        )
    return table[list(names)]


def kinds_of(column: pd.Series, path: Path) -> Shaped[np.ndarray, " records"]:
    """The kinds of records, as text without surrounding spaces or a final full stop (KDD 1999).

    Raises:
        ValueError: if a record has none.
    """
    if (missing := column.isna().to_numpy()).any():
        raise ValueError(f"path: {path} has no label in {_record(missing)}")
    return column.astype(str).str.strip().str.removesuffix(".").to_numpy(str)


def normal_of(kinds: Shaped[np.ndarray, " records"], path: Path, normal: str | None = None) -> str:
    """The kind that is not an attack: the given one, else the one with a usual name (`NORMAL`).

    Raises:
        ValueError: if there is none.
    """
    names = np.unique(kinds).tolist()
    wanted = NORMAL if normal is None else (normal.lower(),)
    for name in names:
        if name.lower() in wanted:
            return str(name)
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise ValueError(f"path: {path} has the kinds {shown}; none of them is {' or '.join(wanted)}")


def checked(table: pd.DataFrame, symbols: Sequence[object], path: Path) -> pd.DataFrame:
    """A table whose columns are numbers, except for symbols.

    Raises:
        ValueError: if another column holds anything but finite numbers.
    """
    parts = {}
    for name, column in table.items():
        if name in symbols:
            parts[name] = column.astype(object).fillna("")  # also where all are missing
            continue
        values = pd.to_numeric(column, errors="coerce").astype(float)
        finite = np.isfinite(values.to_numpy())
        if not finite.all():
            value = column.iloc[int(finite.argmin())]
            given = "nothing" if pd.isna(value) else value
            raise ValueError(
                f"path: {path} has {given} in column {name}, which must be a finite number, of "
                f"{_record(~finite)}"
            )
        parts[name] = values
    return pd.DataFrame(parts)


def _record(wrong: Bool[np.ndarray, " records"]) -> str:
    """The first wrong record, and what to do."""
    first, count = int(wrong.argmax()), int(wrong.sum())
    if first == len(wrong) - 1:
        return f"record {first + 1}, the last; if the file is cut off there, fetch it again"
    return f"record {first + 1}{f' and {count - 1} more' if count > 1 else ''}; remove such records"


def numbers(
    table: pd.DataFrame, symbols: Sequence[object]
) -> Float32[np.ndarray, "records features"]:
    """Convert records to numbers: log(1 + x) to four decimals, and symbols by alphabetical rank.

    The values have heavy tails; negative ones become -log(1 - x). By rounding, records that differ
    by less become duplicates.

    Args:
        table: a row for each record.
        symbols: columns of text.
    """
    features = [
        np.unique(table[name].to_numpy(str), return_inverse=True)[1]
        if name in symbols
        else _logarithm(table[name].to_numpy(float))
        for name in table.columns
    ]
    return np.stack(features, axis=1).astype(np.float32)


def _logarithm(values: Float[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
    return (np.sign(values) * np.log1p(np.abs(values))).round(DECIMALS)
