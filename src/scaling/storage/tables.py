"""Tables that grow during a run: columns in memory, Parquet parts on disk."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scaling.contracts.atomic_write import atomic_write
from scaling.contracts.words import counted


def write_part(folder: Path, columns: Mapping[str, ArrayLike], first: int) -> None:
    """Write one part of a table atomically.

    Args:
        folder: folder of the table; made if missing.
        columns: name -> values, all of the same length.
        first: number of the part's first row in the whole table, which names the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{first:09d}.parquet") as draft:
        pd.DataFrame(dict(columns)).to_parquet(draft, index=False)


def read_parts(folder: Path) -> pd.DataFrame:
    """Read a whole table in row order; empty if absent.

    Raises:
        ValueError: if a part is damaged.
    """
    parts = []
    for path in _parts(folder):
        try:
            parts.append(pd.read_parquet(path))
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise ValueError(
                f"{path} cannot be read ({error}); delete its run to repeat it"
            ) from error
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def table_names(folder: Path) -> set[str]:
    """Names of the tables in a run's folder."""
    return {path.parent.name for path in folder.glob(f"*/{'[0-9]' * 9}.parquet")}


def drop_parts(folder: Path, first: int) -> None:
    """Remove the parts of a table that begin at row `first` or later."""
    for path in _parts(folder):
        if int(path.stem) >= first:
            path.unlink()


def _parts(folder: Path) -> list[Path]:
    """Files of the table; others in its folder are ignored."""
    return sorted(folder.glob(f"{'[0-9]' * 9}.parquet"))


class Recorder:
    """Collect rows and write them in parts.

    Args:
        folder: folder of the parts; rows of an earlier table beyond `keep` are removed.
        rows_per_part: rows after which a part is written; `flush` writes the rest.
        keep: rows of an earlier table to continue; a part must end with them. If there are no
            parts, as in a new folder that a logger made for the resumed fit, warns and begins the
            table with the resumed rows.

    Raises:
        ValueError: if there are parts, but not with exactly these rows.
    """

    def __init__(self, folder: Path, *, rows_per_part: int, keep: int = 0):
        self.folder, self.rows_per_part = folder, rows_per_part
        self._chunks: dict[str, list[np.ndarray]] = {}
        self.rows = self.written = 0
        drop_parts(folder, keep)
        earlier = read_parts(folder)
        if keep and not len(earlier):
            warnings.warn(
                f"{folder} has none of the {keep} rows before this fit; its table begins with "
                "the rows of the resumed fit",
                stacklevel=3,
            )
            keep = 0
        if len(earlier) != keep:
            raise ValueError(
                f"{folder} has {counted(len(earlier), 'row')}, but must have {keep} to continue"
            )
        if keep:
            self._chunks = {str(name): [earlier[name].to_numpy()] for name in earlier}
            self.rows = self.written = keep

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All rows so far, written or not; empty before the first."""
        return {name: np.concatenate(chunks) for name, chunks in self._chunks.items()}

    def extend(self, columns: Mapping[str, ArrayLike]) -> None:
        """Append rows, column by column; the first call sets the columns.

        Raises:
            ValueError: if the columns are not those of the table, or differ in length.
        """
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1 or (self._chunks and self._chunks.keys() != arrays.keys()):
            raise ValueError(f"columns {sorted(arrays)} of lengths {lengths} do not fit the table")
        for name, array in arrays.items():
            self._chunks.setdefault(name, []).append(array)
        self.rows += lengths.pop()
        if self.rows - self.written >= self.rows_per_part:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are not yet on disk."""
        if self.rows > self.written:
            rest = {name: values[self.written :] for name, values in self.columns.items()}
            write_part(self.folder, rest, self.written)
            self.written = self.rows
