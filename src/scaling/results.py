"""Public functions that read runs: rows, and the longer tables of steps, epochs and layers."""

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.contracts.columns import FIXED, TEXT
from scaling.contracts.metric import MAXIMISED, MAXIMUM, with_one_maximum
from scaling.storage import exports, row_table, study_folders, table_files, tables
from scaling.storage.rows import read_row, run_folders


def read(
    *folders: str | Path,
    columns: Mapping[str, str] | None = None,
    maximise: str | None = None,
    axes: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the rows of all runs at any depth below `folders`, one line per run.

    Columns: the fixed ones, all other measurements, and every config key that differs between
    rows, under its dotted name. `data.fingerprint`, computed from the data, replaces `data.path`.
    Missing numbers are nan. A damaged row becomes a line of status `corrupt`, with a warning.
    Settings that agree to 12 significant digits are equal.

    Args:
        folders: folders of runs or studies, exported sweeps, or .csv tables of rows: written by
            `scaling.report`, or any table with columns `batch`, `lr` and `val_loss`. The usual
            names of other programs are known, such as `learning_rate` and `eval/loss`.
        columns: of tables written by other programs: our names -> their names, such as
            `{"batch": "bs", "val_loss": "smooth loss", "tokens": "D"}`. A number is a value that
            all runs share, such as `{"batch": "32"}`. An empty one sets a column aside: with
            `{"status": ""}`, every run with a loss is done.
        maximise: column of such tables to maximise in place of minimising a loss, such as an
            accuracy. `val_loss` becomes its distance from `maximum`, which is 1, 100 for percent,
            or else 0; `maximised` has its name.
        axes: columns of such tables that are axes of a law (`scaling.learning_rate_law`): without a
            column `seed`, runs that differ in them are not taken for repeats.

    Raises:
        FileNotFoundError: if there is no row below a folder.
        ValueError: if a file is not such a table, or rows have different metrics.
    """
    exported, runs = _places(folders)
    if runs and (columns or maximise):
        raise ValueError(
            f"{runs[0]} holds runs; columns and maximise are for tables of other programs"
        )
    files = {os.path.abspath(path): path for path in exported.values()}
    parts = [
        table_files.read(
            path,
            text=(*TEXT, MAXIMISED),
            known=(*FIXED, MAXIMISED, MAXIMUM),
            columns=columns,
            maximise=maximise,
            axes=axes,
        )
        for path in files.values()
    ]
    if runs or not folders:
        parts.append(row_table.gathered(_runs(runs)))
    joined = with_one_maximum(pd.concat(parts, ignore_index=True))
    ordered = joined.reindex(columns=[*FIXED, *(key for key in joined if key not in FIXED)])
    return ordered.copy()  # in one piece: adding columns to a table of many pieces is slow


def table(name: str, *folders: str | Path) -> pd.DataFrame:
    """Read a table that callbacks record, built-in or your own, from all runs below `folders`.

    Columns: `study`, `run`, then those of the table. A damaged table of a run is left out, with a
    warning.

    Args:
        name: name of the table: that of its folder inside a run's folder.
        folders: as for `read`, or the `log_dir` of a Lightning trainer that has callbacks of this
            package.

    Raises:
        FileNotFoundError: if there is no row below a folder, and no table in it.
        ValueError: if no run has it; the message lists those that exist.
    """
    names = table_names(*folders)
    if name not in names:
        listed = f"the tables are {', '.join(sorted(names))}" if names else "there is no table"
        raise ValueError(f"no table {name} below {', '.join(map(str, folders))}; {listed}")
    return _table(name, *folders)


def _table(name: str, *folders: str | Path) -> pd.DataFrame:
    """A longer table; empty if no run has it."""
    exported, places = _places(folders)
    parts = [_undamaged(exports.table, folder, name) for folder in exported]
    for run in _runs(places, with_row=False):
        part = _undamaged(tables.read_parts, run / name)
        if len(part):
            part.insert(0, "study", run.absolute().parent.name)
            part.insert(1, "run", run.name)
            parts.append(part)
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame()
    joined = pd.concat(parts, ignore_index=True)
    return joined.astype({"study": "category", "run": "category"})


def _undamaged(read: Callable[..., pd.DataFrame], *place: Any) -> pd.DataFrame:
    """A longer table of a run or export; empty with a warning if it is damaged."""
    try:
        return read(*place)
    except ValueError as error:
        warnings.warn(f"damaged table: {error}", stacklevel=4)
        return pd.DataFrame()


def table_names(*folders: str | Path) -> set[str]:
    """List the longer tables of all runs below `folders`; exported sweeps may have fewer."""
    exported, places = _places(folders)
    names = {file.stem for folder in exported for file in Path(folder).glob("*.parquet")}
    return names.union(*(tables.table_names(run) for run in _runs(places, with_row=False)))


def steps(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run and optimizer step; step i starts from the weights after i updates.

    Like the functions below, it gives an empty table if no run has one, while
    `table("steps", folder)` raises an error. Both read the `log_dir` of a Lightning trainer, too.
    """
    return _table("steps", *folders)


def epochs(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run and evaluation; `step` is the number of updates before it."""
    return _table("epochs", *folders)


def layers(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run, measured step and parameter tensor."""
    return _table("layers", *folders)


def layer_epochs(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run, epoch and parameter tensor: statistics over mini-batches."""
    return _table("layer_epochs", *folders)


def probes(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run, probe of the gradient noise scale and parameter tensor."""
    return _table("probes", *folders)


def tails(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run, window of steps, axis and group of layers: the shape of tails."""
    return _table("tails", *folders)


def windows(*folders: str | Path) -> pd.DataFrame:
    """Read one line per run and scored window: whether it was right before and after."""
    return _table("windows", *folders)


def rounds(*folders: str | Path) -> pd.DataFrame:
    """Read one line per adapted run and federated round; round 0 is before training."""
    return _table("rounds", *folders)


def provenance(*folders: str | Path) -> dict[str, str]:
    """Count the values of each provenance key over the runs below some folders.

    Exported sweeps have no provenance.
    """
    counts: dict[str, Counter[str]] = {}
    for run in _runs(_places(folders)[1]):
        with contextlib.suppress(ValueError):  # damaged; `read` warns about it
            row = read_row(run)
            for key, value in (row.provenance if row else {}).items():
                counts.setdefault(key, Counter())[str(value)] += 1
    for key in ("start", "end"):
        if times := counts.pop(key, None):
            counts[f"first {key}" if key == "start" else f"last {key}"] = Counter(
                [min(times) if key == "start" else max(times)]
            )
    return {
        key: ", ".join(
            value if len(values) == 1 else f"{value} ({n})" for value, n in values.items()
        )
        for key, values in counts.items()
    }


def places(*folders: str | Path) -> dict[tuple[str, str], Path]:
    """Return the folder of each run by study and run; exported sweeps have none."""
    return {(run.absolute().parent.name, run.name): run for run in _runs(_places(folders)[1])}


def example(*folders: str | Path) -> dict[str, Any]:
    """Return the config of one finished run; empty for exported sweeps."""
    for run in _runs(_places(folders)[1]):
        with contextlib.suppress(ValueError):  # damaged; `read` warns about it
            if (row := read_row(run)) and row.status == "done":
                return row.config
    return {}


def _places(
    folders: Sequence[str | Path],
) -> tuple[dict[str | Path, Path], list[str | Path]]:
    """Split folders into exported sweeps, each with its file of rows, and folders of runs."""
    files = {folder: exports.rows_of(folder) for folder in folders}
    exported = {folder: file for folder, file in files.items() if file}
    for file in exported.values():
        if not file.exists():
            raise FileNotFoundError(study_folders.unknown_table(file))
    return exported, [folder for folder in folders if folder not in exported]


def _runs(folders: Sequence[str | Path], *, with_row: bool = True) -> list[Path]:
    """All runs below some folders, without duplicates.

    Without a row, a folder with tables is a run: the `log_dir` of a Lightning trainer.
    """
    unique: dict[str, Path] = {}
    for folder in folders:
        if not Path(folder).exists():
            raise FileNotFoundError(study_folders.unknown(Path(folder)))
        runs = list(run_folders(Path(folder)))
        if not runs:
            names = tables.table_names(Path(folder))
            if with_row or not names:
                raise FileNotFoundError(study_folders.without_rows(Path(folder), names))
            runs = [Path(folder)]
        for run in runs:
            unique.setdefault(os.path.abspath(run), run)
    return list(unique.values())
