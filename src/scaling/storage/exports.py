"""Exports: a sweep in a few files, without the folders of its runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.contracts.precision import DIGITS
from scaling.contracts.settings import is_setting
from scaling.storage.rows import run_folders

ROWS = "rows.csv"
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")


def holds_runs(folder: Path) -> bool:
    """Whether a folder is a run or holds runs at any depth."""
    return next(run_folders(folder), None) is not None


def check_place(folder: Path, option: str) -> None:
    """Refuse to write tables among runs, because they would be read instead of the runs.

    Raises:
        ValueError: naming the option that gave the folder.
    """
    if holds_runs(folder):
        raise ValueError(
            f"{option} {folder} is a folder of runs; choose another one, such as {folder}/report"
        )


def is_table(path: Path) -> bool:
    """Whether a path is that of a table of rows in one file."""
    return path.suffix.lower() in (".csv", ".tsv")


def rows_of(folder: str | Path) -> Path | None:
    """The file with the rows of an exported sweep; None for a folder of runs.

    Either a .csv file, or `rows.csv` in a folder without runs.

    Raises:
        ValueError: for a spreadsheet.
    """
    path = Path(folder)
    if is_table(path):
        return path
    if path.suffix.lower() in SPREADSHEETS and path.is_file():
        raise ValueError(f"{path} is a spreadsheet; save the sheet as CSV")
    return path / ROWS if (path / ROWS).is_file() and not holds_runs(path) else None


def unrounded(table: pd.DataFrame, *, settings: bool) -> pd.DataFrame:
    """Convert a table for a text file so that counts, seeds and checksums keep all digits.

    Pandas stores whole numbers with gaps as floats, which would be rounded like measurements.

    Args:
        table: the table to write.
        settings: keep all digits of settings, too. Rows need them, because a rounded setting is
            another setting; the lr of a fit is a measurement.
    """
    floats = _floats(table)
    whole = [
        key for key in floats
        if ((values := table[key].dropna()) == values.round()).all()
        and (values.abs() < 2**53).all()
    ]  # fmt: skip
    exact = {
        key: [f"{x:.{DIGITS}g}" if np.isfinite(x) else x for x in table[key]]
        for key in floats if settings and key not in whole and is_setting(key)
    }  # fmt: skip
    return table.astype(dict.fromkeys(whole, "Int64")).assign(**exact)


def table(folder: str | Path, name: str) -> pd.DataFrame:
    """Read a longer table of an exported sweep, such as `layer_epochs`; empty if absent.

    Raises:
        ValueError: if its file is damaged.
    """
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise ValueError(f"{path} cannot be read ({error}); export the sweep again") from error


def write(folder: Path, rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Export the rows and longer tables of a sweep to a folder that can be read like the sweep.

    Measurements are rounded to six digits in rows and to five in longer tables.

    Args:
        folder: made if missing; files of the same names are replaced.
        rows: the rows, from `scaling.results.read`.
        tables: name -> longer table of these runs; empty ones are left out.

    Returns:
        the files, that of the rows first.
    """
    files = [folder / ROWS]
    folder.mkdir(parents=True, exist_ok=True)
    unrounded(rows, settings=True).to_csv(files[0], index=False, float_format="%.6g")
    for name, table in tables.items():
        if len(table):
            floats = _floats(table)
            rounded = {key: [float(f"{x:.5g}") for x in table[key]] for key in floats}
            small = table.assign(**rounded).astype(dict.fromkeys(floats, "float32"))
            files.append(folder / f"{name}.parquet")
            small.to_parquet(files[-1], index=False, compression="zstd")
    return files


def _floats(table: pd.DataFrame) -> list[str]:
    return [str(key) for key in table if pd.api.types.is_float_dtype(table[key])]
