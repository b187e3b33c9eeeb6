"""A sweep that somebody kept as files, without the folders of its runs."""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from scaling.contracts.columns import Status
from scaling.contracts.precision import DIGITS, rounded_column
from scaling.contracts.settings import is_setting, settings_of
from scaling.storage.rows import run_folders

NEEDED = ("batch", "lr")
# What a table of another program may lack, and what is taken for granted then.
ASSUMED: dict[str, tuple[float | str, str]] = {
    "val_loss": (np.nan, "each lr is the best one of its batch size, its loss is not known"),
    "clip": (np.inf, "no clipping"),
    "seed": (0, "repeats of a cell are its seeds, in their order"),
    "status": ("done", "every run with a loss is done, without one it diverged"),
}

ROWS = "rows.csv"
# What stands in a table for a number that is not known; in a column of text it is a text.
GAPS = ["", "NA", "N/A", "NaN", "nan", "-nan", "null", "None", "<NA>", "#N/A", "n/a"]
STATUSES = get_args(Status)


def holds_runs(folder: Path) -> bool:
    """Whether runs lie in a folder, at any depth, or it is one."""
    return next(run_folders(folder), None) is not None


def check_place(folder: Path, option: str) -> None:
    """Refuse to write tables among runs, which they would be read in place of.

    Raises:
        ValueError: naming the option that gave the folder.
    """
    if holds_runs(folder):
        raise ValueError(
            f"{option} {folder} is a folder of runs; choose another one, such as {folder}/report"
        )


def rows_of(folder: str | Path) -> Path | None:
    """The file with the rows of a kept sweep; None for a folder of runs.

    It is a .csv, or `rows.csv` in a folder without runs, where longer tables may lie beside it.
    """
    path = Path(folder)
    if path.suffix == ".csv":
        return path
    return path / ROWS if (path / ROWS).is_file() and not holds_runs(path) else None


def unrounded(table: pd.DataFrame, *, settings: bool) -> pd.DataFrame:
    """A table for a text file, its counts, seeds and checksums written as they are.

    A column of whole numbers with gaps has become one of floats, which would be rounded like a
    measurement.

    Args:
        table: to be written.
        settings: keep all digits of settings, too, as in rows, where a rounded one would be
            another; the lr of a fit is a measurement.
    """
    floats = [str(key) for key in table if pd.api.types.is_float_dtype(table[key])]
    whole = [
        key for key in floats
        if ((found := table[key].dropna()) == found.round()).all() and (found.abs() < 2**53).all()
    ]  # fmt: skip
    exact = {
        key: [f"{x:.{DIGITS}g}" if np.isfinite(x) else x for x in table[key]]
        for key in floats if settings and key not in whole and is_setting(key)
    }  # fmt: skip
    return table.astype(dict.fromkeys(whole, "Int64")).assign(**exact)


def table(folder: str | Path, name: str) -> pd.DataFrame:
    """A longer table of a kept sweep, such as `layer_epochs`; empty if it was not kept.

    Raises:
        ValueError: if its file is damaged.
    """
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise ValueError(f"{path} cannot be read ({error}); keep the sweep again") from error


def write(folder: Path, rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> None:
    """Keep a sweep: its rows, and longer tables, in a folder that is read like the sweep itself.

    Measurements are rounded to the five digits that figures and fits can use.

    Args:
        folder: made if missing; files of these names in it are replaced.
        rows: as `scaling.results.read` gives them.
        tables: name -> longer table of these runs; empty ones are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unrounded(rows, settings=True).to_csv(folder / ROWS, index=False, float_format="%.6g")
    for name, table in tables.items():
        if len(table):
            floats = [str(key) for key in table if pd.api.types.is_float_dtype(table[key])]
            rounded = {key: [float(f"{x:.5g}") for x in table[key]] for key in floats}
            small = table.assign(**rounded).astype(dict.fromkeys(floats, "float32"))
            small.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")


def read(path: Path, *, text: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """The table of a report, or anybody's, as long as it has a line per run.

    A column that it lacks and that could change a conclusion is taken for granted in a warning, and
    so are columns named that somebody else's table has, and that mean nothing here.

    Args:
        path: a CSV file with at least the columns `batch`, `lr` and `val_loss`; without the last,
            each batch size is there once, with its best lr.
        text: columns that hold text; their gaps are None.
        known: columns that mean something here; others do if their names have a dot.

    Raises:
        ValueError: if it is no such table, is empty, has lines longer than its header, or holds
            something else than numbers there, a batch, lr or clip that is not positive, or a
            status that is not known.
    """
    table = _table(path, text)
    if absent := [key for key in NEEDED if key not in table]:
        has = ", ".join(map(repr, table))
        raise ValueError(
            f"{path} is no table of runs: it has no column {', '.join(absent)}, but {has}"
        )
    if table.empty:
        raise ValueError(f"{path} is a table without a row")
    if "val_loss" not in table and table["batch"].duplicated().any():
        raise ValueError(
            f"{path} is no table of runs: it has no column val_loss, nor one best lr for each batch"
        )
    for key in (*NEEDED, "val_loss", "clip", "seed"):
        if key in table and not pd.api.types.is_numeric_dtype(table[key]):
            raise ValueError(f"{path} has something else than numbers in its column {key}")
    table = table.assign(**{key: rounded_column(table[key]) for key in settings_of(table)})
    if "status" in table:
        table["status"] = _statuses(table["status"], path)
    lacking = [key for key in ASSUMED if key not in table]
    table = table.assign(**{key: ASSUMED[key][0] for key in lacking})
    if "seed" in lacking:
        table["seed"] = _repeats(table, path)
    if "status" in lacking and "val_loss" not in lacking:
        table.loc[~np.isfinite(table["val_loss"]), "status"] = "diverged"
    if "digest" not in table:
        _name_unused(table, path, known)
    if lacking:
        said = "; ".join(f"{key}: {ASSUMED[key][1]}" for key in lacking)
        warnings.warn(f"{path} lacks columns; taken for granted: {said}", stacklevel=3)
    bad = {key: ~((table[key] > 0) & np.isfinite(table[key])) for key in NEEDED}
    bad["clip"] = table["clip"] <= 0
    for key, which in bad.items():
        which &= table["status"] != "corrupt"
        if which.any():
            lines = ", ".join(str(line + 2) for line in table.index[which][:5])
            none = "; no clipping is inf, or an empty field" if key == "clip" else ""
            raise ValueError(f"{path} has no positive {key} in line {lines}{none}")
    if "run" not in table:
        table["run"] = [f"line {number}" for number in range(2, len(table) + 2)]
    if "study" not in table:
        table["study"] = path.stem
    table["clip"] = table["clip"].where(
        table["clip"].notna() | (table["status"] == "corrupt"), np.inf
    )
    texts = [key for key in text if key in table]
    return table.assign(**{key: table[key].where(table[key].notna(), None) for key in texts})


def _table(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """A CSV file as it is: texts that look like a gap stay texts, and no field moves to another."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header
            header = list(pd.read_csv(path, nrows=0, index_col=False))
            with path.open(encoding="utf-8-sig", newline="") as file:
                named = next(csv.reader(file), [])
            if twice := sorted({key for key in named if named.count(key) > 1}):
                raise ValueError(f"{path} has two columns {', '.join(twice)}; keep one of each")
            return pd.read_csv(
                path,
                dtype=dict.fromkeys(text, "object"),
                index_col=False,
                keep_default_na=False,
                na_values={key: [""] if key in text else GAPS for key in header},
            )
    except pd.errors.ParserWarning as error:
        raise ValueError(
            f"{path} is no table of runs: its lines have more fields than its header; is there a "
            "comma at their ends?"
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no table of runs: {error}") from error


def _name_unused(table: pd.DataFrame, path: Path, known: Sequence[str]) -> None:
    """Say which columns of somebody's table nothing is made of, though they vary."""
    unused = [
        str(key) for key in table
        if key not in known and "." not in str(key) and table[key].nunique(dropna=False) > 1
    ]  # fmt: skip
    if unused:
        warnings.warn(
            f"{path} has columns that are not used: {', '.join(unused)}; a setting is called "
            "model.NAME, data.NAME, optimizer.NAME and so on",
            stacklevel=4,
        )


def _statuses(column: pd.Series, path: Path) -> pd.Series:
    """How runs ended, in our words; an empty field is `done`."""
    found = column.fillna("done").astype(str).str.strip().str.lower()
    if unknown := sorted(set(found) - set(STATUSES)):
        raise ValueError(
            f"{path} has the status {', '.join(unknown)}, which means nothing here; it must be one "
            f"of {', '.join(STATUSES)}, or leave out the column, and every run with a loss is done"
        )
    return found


def _repeats(table: pd.DataFrame, path: Path) -> pd.Series:
    """The number of each run among those of its cell, as if these were seeds.

    Raises:
        ValueError: if the runs of a cell may differ in a setting that nobody named.
    """
    cell = [key for key in settings_of(table) if key != "seed"]
    groups = table.groupby(cell, dropna=False)
    if groups.ngroups < len(table):
        others = [
            key for key in table if key not in (*cell, *ASSUMED, "run", "study") and "." not in key
        ]
        counted = [key for key in others if not pd.api.types.is_float_dtype(table[key])]
        unclear = [
            str(key)
            for key in counted
            if len(table[[*cell, key]].drop_duplicates()) > groups.ngroups
        ]
        if unclear:
            raise ValueError(
                f"{path} has several runs of one cell, which differ in {', '.join(unclear)}; call "
                "it `seed` if it is one, or model.NAME, data.NAME and so on if it is a setting"
            )
    return groups.cumcount()
