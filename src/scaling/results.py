"""The public way to read runs: rows, and the longer tables of their steps, epochs and layers."""

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.contracts.columns import FIXED, ROOT_KEYS, SWITCHES, TEXT
from scaling.contracts.precision import rounded
from scaling.storage import exports, tables
from scaling.storage.rows import ROW_FILE, read_row, run_folders


def read(*folders: str | Path) -> pd.DataFrame:
    """Gather the rows at any depth below `folders`, one line per run.

    Columns: the fixed ones, whatever else was measured, and every config key that varies among the
    rows, under its dotted name; `data.fingerprint`, of the data's content, stands for `data.path`.
    Missing numbers are nan. A damaged row becomes a line of status `corrupt`, named in a warning.
    Settings that agree in 12 significant digits are the same.

    Args:
        folders: of runs or of studies; an exported sweep; or a table of rows, a .csv: one that
            `scaling.report` wrote, or anybody's with columns `batch`, `lr` and `val_loss`.

    Raises:
        FileNotFoundError: if there is no row below a folder.
        ValueError: for a file that is no such table.
    """
    exported, runs = _places(folders)
    files = {os.path.abspath(path): path for path in exported.values()}
    parts = [exports.read(path, text=TEXT, known=FIXED) for path in files.values()]
    if runs or not folders:
        parts.append(_gathered(_runs(runs)))
    joined = pd.concat(parts, ignore_index=True)
    return joined.reindex(columns=[*FIXED, *(key for key in joined if key not in FIXED)])


def table(name: str, *folders: str | Path) -> pd.DataFrame:
    """Gather a table that callbacks record, such as one of your own, from all runs below `folders`.

    Columns: `study`, `run`, then those of the table; empty if no run has it.

    Args:
        name: of the table, which is that of its folder in a run's folder.
        folders: as for `read`.

    Raises:
        FileNotFoundError: if there is no row below a folder.
        ValueError: for a damaged table.
    """
    exported, places = _places(folders)
    parts = [part for folder in exported if len(part := exports.table(folder, name))]
    for run in _runs(places):
        part = tables.read_parts(run / name)
        if len(part):
            part.insert(0, "study", run.absolute().parent.name)
            part.insert(1, "run", run.name)
            parts.append(part)
    if not parts:
        return pd.DataFrame()
    joined = pd.concat(parts, ignore_index=True)
    return joined.astype({"study": "category", "run": "category"})


def table_names(*folders: str | Path) -> set[str]:
    """Names of the longer tables of all runs below `folders`; exported sweeps may have fewer."""
    exported, places = _places(folders)
    names = {file.stem for folder in exported for file in Path(folder).glob("*.parquet")}
    return names.union(*(tables.table_names(run) for run in _runs(places)))


def steps(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per run and optimizer step; step i starts from the weights after i updates."""
    return table("steps", *folders)


def epochs(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per run and evaluation; `step` counts the updates taken before it."""
    return table("epochs", *folders)


def layers(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per run, measured step and parameter tensor."""
    return table("layers", *folders)


def layer_epochs(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per run, epoch and parameter tensor: statistics over its mini-batches."""
    return table("layer_epochs", *folders)


def windows(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per run and window that was scored: whether it was right before and after."""
    return table("windows", *folders)


def rounds(*folders: str | Path) -> pd.DataFrame:
    """Gather a line per adapted run and round of its federation; round 0 is before training."""
    return table("rounds", *folders)


def provenance(*folders: str | Path) -> dict[str, str]:
    """Count the values of each provenance key over the runs below some folders.

    Exported sweeps have none.
    """
    found: dict[str, Counter[str]] = {}
    for run in _runs(_places(folders)[1]):
        with contextlib.suppress(ValueError):  # damaged; `read` names it
            row = read_row(run)
            for key, value in (row.provenance if row else {}).items():
                found.setdefault(key, Counter())[str(value)] += 1
    for key in ("start", "end"):
        if times := found.pop(key, None):
            found[f"first {key}" if key == "start" else f"last {key}"] = Counter(
                [min(times) if key == "start" else max(times)]
            )
    return {
        key: ", ".join(
            value if len(values) == 1 else f"{value} ({n})" for value, n in values.items()
        )
        for key, values in found.items()
    }


_UNSHOWN = ("config", "measured", "provenance", "schema")  # of a row, in a table


def _places(
    folders: Sequence[str | Path],
) -> tuple[dict[str | Path, Path], list[str | Path]]:
    """Exported sweeps, each with its file of rows, and the other folders, which hold runs."""
    files = {folder: exports.rows_of(folder) for folder in folders}
    exported = {folder: file for folder, file in files.items() if file}
    return exported, [folder for folder in folders if folder not in exported]


def _runs(folders: Sequence[str | Path]) -> list[Path]:
    """The runs below some folders, each once, however many of the folders hold it."""
    found: dict[str, Path] = {}
    for folder in folders:
        if not Path(folder).exists():
            raise FileNotFoundError(f"{folder} does not exist; is that its name?")
        runs = list(run_folders(Path(folder)))
        if not runs:
            raise FileNotFoundError(
                f"no {ROW_FILE} below {folder}; did any run of this sweep finish?"
            )
        for run in runs:
            found.setdefault(os.path.abspath(run), run)
    return list(found.values())


def _gathered(runs: Sequence[Path]) -> pd.DataFrame:
    """The rows of some runs, each with its numbers and the config keys that vary."""
    lines, configs = [], []
    for run in runs:
        line, config = _line(run)
        lines.append(line)
        configs.append(config)
    found = {
        key: column if key in TEXT else pd.to_numeric(column)
        for key, column in pd.DataFrame(lines).items()
    }
    table = pd.DataFrame(found)
    return table.join(_varying(configs, without=set(map(str, table)) | set(FIXED)))


def _line(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row as a line of the table, and its flat config."""
    try:
        row = read_row(run)
    except ValueError as error:
        warnings.warn(f"corrupt row: {error}", stacklevel=3)
        return {"run": run.name, "status": "corrupt", "error": str(error)}, {}
    assert row is not None
    line = {key: value for key, value in vars(row).items() if key not in _UNSHOWN}
    config = dict(rounded(dict(_flat(row.config))))
    config.pop("data.path", None)  # which says where the data lay, and not what they were
    config["data.fingerprint"] = row.provenance.get("data")
    line["duration"] = config.get(row.protocol) or config.get("default_steps")
    line |= {key: config.get(key) for key in ROOT_KEYS} | row.measured
    line["study"] = run.absolute().parent.name  # as in its tables; a study may be renamed
    return line, config


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", str(value) if isinstance(value, list) else value


def _varying(configs: list[dict[str, Any]], without: set[str]) -> pd.DataFrame:
    """The config keys whose value differs among the rows, less those that are columns already.

    Switches of the command are no part of a result and are left out.

    A key inside a group that follows a root key everywhere (`optimizer.lr` is `lr`) says nothing
    new and is left out too.
    """
    known = [config for config in configs if config]
    without = without | set(SWITCHES)
    keys = {key: None for config in known for key in config if key not in without}
    varying = []
    for key in keys:
        values = [config.get(key) for config in known]
        leaf = key.rpartition(".")[2]
        copied = leaf in ROOT_KEYS and values == [config[leaf] for config in known]
        if len(set(map(repr, values))) > 1 and not copied and not key.endswith("._target_"):
            varying.append(key)
    return pd.DataFrame([{key: config.get(key) for key in varying} for config in configs])
