"""Files of network records: find them, and turn their columns into numbers."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Shaped

from scaling.contracts.words import counted
from scaling.datamodules.files import data_folder, files_in, files_like, listed, plain_name

TABLE = re.compile(r"\.(txt|csv|tsv|arff)$")  # ending of tables in folders
DECIMALS = 4  # of log(1 + x)
# usual names of the column with the kind of a record; the first that exists is used
LABELS = (
    *("attack_cat", "attack_type", "attack_name", "attack", "class", "label", "labels"),
    *("attack_label", "outcome"),
)
# usual names of normal traffic
NORMAL = ("normal", "benign", "background", "legitimate", "0", "0.0", "false")
OTHER = "tables with other columns or labels are for data=records"  # remedy
SHOWN = 8  # names in a message


def place_of(path: str | None, name: str) -> Path:
    """The file or folder of a data set: `path`, else below $SCALING_DATA.

    Raises:
        ValueError: if neither exists.
    """
    place = data_folder(path, name)
    if place is None:
        raise ValueError(
            f"path is null and there is no $SCALING_DATA/{name}; put the files of {name} into that "
            "folder, or into one that you give as path=..."
        )
    return place


def tables_in(folder: Path, word: str = "") -> list[Path]:
    """The files of a folder that may be tables, ARFF last, sorted by name.

    Subfolders are searched if the folder has no such file itself.

    Args:
        folder: where to search.
        word: lower-case part of the name of the file.
    """

    def wanted(file: Path) -> bool:
        name = plain_name(file)
        table = TABLE.search(name) is not None or file.suffix.lower() == ".zip"
        return table and word in name

    files = files_like(folder, wanted)
    return sorted(files, key=lambda file: plain_name(file).endswith(".arff"))


def train_and_test(place: Path, train: Sequence[str], test: Sequence[str]) -> tuple[Path, Path]:
    """The files of training and test data.

    In a folder, these are the first of the given names that exists, else the only table with
    `train` or `test` in its name. If there are several such test files, one with the ending of the
    training file is preferred.

    Args:
        place: their folder, or the training file, beside which the test file is.
        train: usual names of the training file, without endings, in order of preference. They
            contain the word `train`.
        test: the same of the test file, with `test`.

    Raises:
        ValueError: if one is missing, or there are several; the message lists what is there.
    """
    folder = place if place.is_dir() else place.parent
    first = _named(folder, train, "train") if place == folder else place
    return first, _named(folder, test, "test", like=first)


def _named(folder: Path, names: Sequence[str], word: str, like: Path | None = None) -> Path:
    """A table with a usual name, else the only one with a word in its name."""
    having = tables_in(folder, word)
    for name in names:
        if named := [file for file in having if TABLE.sub("", plain_name(file)) == name.lower()]:
            return _alike(named, like)[0]
    if len(only := _alike(having, like)) == 1:
        return only[0]
    usual = ", ".join([*names, f"{'or ' if names else ''}one with {word} in its name"])
    raise ValueError(
        f"path: {folder} has {counted(len(having), 'file')} with {word} in their names; keep one, "
        f"or give the training file itself; {listed(having, folder)}"
        if having
        else f"path: {folder} has no {word} data ({usual}); {listed(files_in(folder), folder)}"
    )


def _alike(files: list[Path], like: Path | None) -> list[Path]:
    """The files with the ending of another one, if there are some."""
    ending = Path(plain_name(like)).suffix if like else ""
    return [file for file in files if Path(plain_name(file)).suffix == ending] or files


def columns(
    table: pd.DataFrame, names: Sequence[str], path: Path, remedy: str = OTHER
) -> pd.DataFrame:
    """Columns of a table by their names.

    Raises:
        ValueError: naming those that are missing, with the remedy.
    """
    if not len(table.columns) or not isinstance(table.columns[0], str):
        raise ValueError(
            f"path: {path} has no header with the names of its {counted(table.shape[1], 'column')}"
        )
    if missing := [name for name in names if name not in table]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(f"path: {path} has no column {', '.join(missing[:5])}{more}; {remedy}")
    return table[list(names)]


def kinds_of(column: pd.Series, path: Path) -> Shaped[np.ndarray, " records"]:
    """The kinds of records, as text without surrounding spaces or a final full stop (KDD 1999).

    Raises:
        ValueError: if a record has none.
    """
    if (missing := column.isna().to_numpy()).any():
        raise ValueError(f"path: {path} has no label in {_record(missing)}")
    return column.astype(str).str.strip().str.removesuffix(".").to_numpy(str)


def normal_of(
    kinds: Shaped[np.ndarray, " records"],
    path: Path,
    normal: str | None = None,
    remedy: str = OTHER,
) -> str:
    """The kind that is not an attack: the given one, else the one with a usual name (`NORMAL`).

    Raises:
        ValueError: if no kind matches, or several do, with the remedy.
    """
    names = np.unique(kinds).tolist()
    if normal in names:
        return str(normal)
    wanted = NORMAL if normal is None else (normal.lower(),)
    usual = [name for name in names if name.lower() in wanted]
    if len(usual) == 1:
        return str(usual[0])
    problem = (
        f"and several of them may be normal traffic: {' and '.join(usual)}"
        if usual
        else f"but not {' or '.join(wanted)}"
    )
    raise ValueError(f"path: {path} has the kinds {first_of(names)}, {problem}; {remedy}")


def first_of(names: Sequence[str]) -> str:
    """The first of many names, for messages."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def checked(
    table: pd.DataFrame, symbols: Sequence[object], path: Path, optional: bool = False
) -> pd.DataFrame:
    """A table whose columns are numbers, except for symbols.

    Args:
        table: a row for each record.
        symbols: columns of text.
        path: its file, for messages.
        optional: whether columns can be left out, with `leave_out`.

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
            remedy = f", or the column with leave_out=[{name}]" if optional else ""
            raise ValueError(
                f"path: {path} has {given} in column {name}, which must be a finite number, of "
                f"{_record(~finite)}{remedy}"
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

    The values have heavy tails; negative ones become -log(1 - x). Records that differ by less than
    the rounding become duplicates.

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
