"""Windows of records in a table of your own."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.contracts.words import counted
from scaling.datamodules.bags import Records
from scaling.datamodules.files import File, existing, file_at, files_in, listed
from scaling.datamodules.flow_files import (
    LABELS,
    checked,
    columns,
    first_of,
    kinds_of,
    normal_of,
    numbers,
    tables_in,
    train_and_test,
)
from scaling.datamodules.recorded_flows import Recorded, Source
from scaling.datamodules.tables import read_table

KIND = "kind of a record"  # column


@dataclass(frozen=True, kw_only=True)
class OwnRecords(Recorded):
    """Populations of windows made of the records of any table that names its columns.

    The path is a table (CSV or ARFF) or a folder. A folder has one table, or a table of training
    data (before the shift) and one of test data (after it). All columns except the label and those
    left out are features: columns without any number are symbols, all others are numbers.
    """

    label: str | None  # column with the kind of each record; null: the first of `LABELS`
    normal: str | int | None  # the kind that is not an attack; null: one of `NORMAL`
    leave_out: list[str]  # columns that are not features, besides all of `LABELS`

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "leave_out", tuple(self.leave_out))  # hashable, for caches

    @property
    def tables(self) -> Source:
        normal = None if self.normal is None else str(self.normal)
        read = partial(_read, label=self.label, normal=normal, leave_out=tuple(self.leave_out))
        return Source(_files, read, None, "")


def _files(path: str | None) -> tuple[File, ...]:
    if path is None:
        raise ValueError("path is missing; give a table of records, CSV or ARFF, or its folder")
    place = existing(path)
    tables = [place] if place.is_file() else tables_in(place)
    if len(tables) == 1:
        return (file_at(tables[0]),)
    if not tables:
        raise ValueError(f"path: {place} has no table; {listed(files_in(place), place)}")
    return tuple(map(file_at, train_and_test(place, (), ())))


@lru_cache(maxsize=1)
def _read(
    files: tuple[File, ...], label: str | None, normal: str | None, leave_out: tuple[str, ...]
) -> Records:
    paths = [file.path for file in files]
    tables = [_labeled(path, label) for path in paths]
    kinds = np.concatenate(
        [kinds_of(table[KIND], path) for table, path in zip(tables, paths, strict=True)]
    )
    unused = {KIND, *LABELS, *map(str.lower, leave_out)}
    names = [str(name) for name in tables[0] if name not in unused]
    if absent := [name for name in leave_out if name.lower() not in tables[0]]:
        raise ValueError(f"leave_out={absent[0]} must be one of the columns {', '.join(names)}")
    if not names:
        raise ValueError(f"path: {paths[0]} has no column that is a feature, only labels")
    remedy = f"add what {paths[0].name} has, or name such columns in leave_out=[...]"
    parts = [columns(table, names, path, remedy) for table, path in zip(tables, paths, strict=True)]
    raw = pd.concat(parts, ignore_index=True)
    symbols = [name for name in names if pd.to_numeric(raw[name], errors="coerce").isna().all()]
    parts = [
        checked(part, symbols, path, optional=True) for part, path in zip(parts, paths, strict=True)
    ]
    features = pd.concat(parts, ignore_index=True)
    return Records(
        numbers(features, symbols),
        kinds,
        normal_of(kinds, paths[0], normal, "give the one that is not an attack as normal=KIND"),
        np.arange(len(features)) >= len(parts[0]) if len(parts) > 1 else None,
        tuple(_notes(features, symbols)),
    )


def _notes(features: pd.DataFrame, symbols: list[str]) -> Iterator[str]:
    """Notes on the features, and on those that number the records."""
    names = f" (symbols: {', '.join(symbols)})" if symbols else ""
    yield f"the features are {counted(features.shape[1], 'column')}{names}"
    for name, column in features.drop(columns=symbols).items():
        if len(column) > 1 and column.is_monotonic_increasing and column.is_unique:
            yield f"{name} grows with the number of the record, which may leak labels: leave it out"


def _labeled(path: Path, label: str | None) -> pd.DataFrame:
    """A table with its label as column `KIND`."""
    table = read_table(path)
    columns(table, [], path)  # refuses one without a header
    name = label.lower() if label else next((name for name in LABELS if name in table), None)
    if name not in table:
        why = "" if label else f", because none is named {', '.join(LABELS[:6])} or the like"
        raise ValueError(
            f"label={label or 'null'} must be the column with the kind of each record of {path}"
            f"{why}; it has the columns {first_of(list(map(str, table)))}"
        )
    return table.rename(columns={name: KIND})
