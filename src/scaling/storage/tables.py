"""Tables that grow while a run lasts: columns in memory, Parquet parts on disk."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scaling.contracts.atomic_write import atomic_write


def write_part(folder: Path, columns: Mapping[str, ArrayLike], first: int) -> None:
    """Write one part of a table, whole or not at all.

    Args:
        folder: the table's own; made if missing.
        columns: name -> values, all of the same length.
        first: row number of the part's first row in the whole table, which gives it its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{first:09d}.parquet") as draft:
        pd.DataFrame(dict(columns)).to_parquet(draft, index=False)


def read_parts(folder: Path) -> pd.DataFrame:
    """The whole table in the order of its rows; empty if there is none.

    Raises:
        ValueError: naming a part that is damaged.
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


def drop_parts(folder: Path, first: int) -> None:
    """Remove the parts of a table that begin at row `first` or later."""
    for path in _parts(folder):
        if int(path.stem) >= first:
            path.unlink()


def _parts(folder: Path) -> list[Path]:
    """The table's own files; others that lie beside them are not touched."""
    return sorted(folder.glob(f"{'[0-9]' * 9}.parquet"))


class Recorder:
    """Collect rows and write them in parts.

    Args:
        folder: where parts go; what an earlier table holds beyond `keep` rows is removed.
        rows_per_part: rows after which a part is written; the rest follows with `flush`.
        keep: rows of an earlier table that this one goes on from; a part must end with them. Where
            there is no part at all, as in a folder that a logger made for the resumed fit, this
            table begins with the resumed rows, and says so in a warning.

    Raises:
        ValueError: if there are parts, and they do not hold just these rows.
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
                "those of the fit that goes on",
                stacklevel=3,
            )
            keep = 0
        if len(earlier) != keep:
            raise ValueError(f"{folder} has {len(earlier)} rows where {keep} are to be kept")
        if keep:
            self._chunks = {str(name): [earlier[name].to_numpy()] for name in earlier}
            self.rows = self.written = keep

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All rows so far, written or not; empty before the first."""
        return {name: np.concatenate(chunks) for name, chunks in self._chunks.items()}

    def extend(self, columns: Mapping[str, ArrayLike]) -> None:
        """Append rows, column by column; the first call says which columns there are.

        Raises:
            ValueError: if the columns differ from those before, or in length.
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
        """Write what is not yet on disk."""
        if self.rows > self.written:
            rest = {name: values[self.written :] for name, values in self.columns.items()}
            write_part(self.folder, rest, self.written)
            self.written = self.rows
