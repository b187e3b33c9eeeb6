"""One run, one row: its identity, how it is written, and how everybody reads it."""

import contextlib
import hashlib
import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from scaling import kept
from scaling.precision import rounded
from scaling.tables import read_parts

FILE = kept.RUN
# 1: identities had the import paths of components, and not always the content of the data.
SCHEMA = 2
READ = (1, SCHEMA)
Status = Literal["done", "diverged", "failed", "interrupted", "corrupt"]
FINISHED = ("done", "diverged")

ROOT_KEYS = ("batch", "lr", "clip", "seed")
SWITCHES = (  # change no result, but for what rounding does to it
    *("resume", "fail_fast", "dry_run", "workers", "save_every", "threads", "threads_from"),
)
# Losses that need no learning: what counting reaches, by the length of what it counts, and what
# nothing goes below. Columns `uniform_loss` and so on.
REFERENCES = ("uniform", "unigram", "bigram", "trigram", "fourgram", "fivegram", "floor")
FIXED = (
    *("study", "run", "digest", "status", "error", "model", "data", "optimizer", "protocol"),
    *(
        "duration",
        *ROOT_KEYS,
        "steps",
        "examples",
        "parameters",
        "seconds",
        "val_loss",
        "val_loss_se",
    ),
    *("train_loss", "uniform_loss", "unigram_loss", "bigram_loss", "val_accuracy"),
    *("test_accuracy", "clip_percent", "clip_coefficient_cv", "grad_norm_pre_clip"),
    *("grad_norm_post_clip", "update_norm", "fold"),
)
TEXT = ("study", "run", "digest", "status", "error", "model", "data", "optimizer", "protocol")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Everything that the analysis may ask of a run.

    A number that was not measured is missing from `measured`, never 0. A run that diverged is a
    row like any other; `failed` and `interrupted` say why there are no numbers.
    """

    study: str
    run: str  # name of its folder
    digest: str  # identity of its config
    status: Status
    error: str | None = None
    model: str  # the option chosen in the config group of that name
    data: str
    optimizer: str
    protocol: str  # which duration was fixed: steps, epochs or examples
    config: dict[str, Any]  # resolved, whole
    measured: dict[str, float] = field(default_factory=dict)  # column -> number
    provenance: dict[str, Any] = field(default_factory=dict)  # versions, host, device, times
    schema: int = SCHEMA  # an earlier one has an identity that no config of today has


def digest(canonical: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that two configs share only if they are the same.

    Args:
        canonical: config in canonical form (`scaling.config.canonical`).
    """
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def name(canonical: Mapping[str, Any], digest: str) -> str:
    """The run's folder name: what is typed all day, then the digest of everything."""
    return ",".join(f"{key}={canonical[key]}" for key in ROOT_KEYS) + f"-{digest}"


def write(row: Row, folder: Path) -> None:
    """Write `row` into its run's folder, whole or not at all.

    Strict JSON knows neither nan nor inf: unmeasured numbers are left out, infinite ones become
    the strings "inf" and "-inf". The record carries a checksum of itself.

    Raises:
        OSError: if the file cannot be written; an earlier row then stays as it was.
    """
    record = strict(vars(row))
    record["checksum"] = _checksum(record)
    write_json(record, folder / FILE)


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write a file of strict JSON that is never seen half written, not even after a crash."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("w") as file:
            json.dump(record, file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_row(folder: Path) -> Row | None:
    """The row of one run's folder, or None if it has none.

    Raises:
        ValueError: if the row is damaged, was edited, or has a schema that is not known.
    """
    path = folder / FILE
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    found = record.get("schema") if isinstance(record, dict) else None
    if found not in READ:
        raise ValueError(
            f"{path} has schema {found}, and this version reads {' and '.join(map(str, READ))}; "
            f"read it with the version that wrote it, or {_REMEDY}"
        )
    if record.pop("checksum", None) != _checksum(record):
        raise ValueError(f"{path} is not what was written (its checksum differs); {_REMEDY}")
    return Row(**record | {part: _loose(record[part]) for part in ("config", "measured")})


def read(*folders: str | Path) -> pd.DataFrame:
    """Gather the rows at any depth below `folders`, one line per run.

    Columns: the fixed ones, whatever else was measured, and every config key that varies among the
    rows, under its dotted name; `data.fingerprint`, of the data's content, stands for `data.path`.
    Missing numbers are nan. A damaged row becomes a line of status `corrupt`, named in a warning.
    Settings that agree in 12 significant digits are the same.

    Args:
        folders: of runs or of studies; or of a kept sweep; or a table of rows, a .csv: one that
            `scaling.report` wrote, or anybody's with columns `batch`, `lr` and `val_loss`
            (`scaling.kept`).

    Raises:
        FileNotFoundError: if there is no row below a folder.
        ValueError: for a file that is no such table.
    """
    files = {os.path.abspath(path): path for path in map(kept.rows_of, folders) if path}
    tables = [kept.read(path, text=TEXT, known=FIXED) for path in files.values()]
    runs = [folder for folder in folders if not kept.rows_of(folder)]
    if runs or not folders:
        tables.append(_gathered(runs))
    table = pd.concat(tables, ignore_index=True)
    return table.reindex(columns=[*FIXED, *(key for key in table if key not in FIXED)])


def steps(*folders: str | Path) -> pd.DataFrame:
    """One line per run and optimizer step; step i starts from the weights after i updates."""
    return _tables(folders, "steps")


def epochs(*folders: str | Path) -> pd.DataFrame:
    """One line per run and evaluation; `step` counts the updates taken before it."""
    return _tables(folders, "epochs")


def layers(*folders: str | Path) -> pd.DataFrame:
    """One line per run, measured step and parameter tensor."""
    return _tables(folders, "layers")


def windows(*folders: str | Path) -> pd.DataFrame:
    """One line per run and window that was scored: whether it was right before and after."""
    return _tables(folders, "windows")


def rounds(*folders: str | Path) -> pd.DataFrame:
    """One line per adapted run and federated round of its source model; 0 is before training."""
    return _tables(folders, "rounds")


def layer_epochs(*folders: str | Path) -> pd.DataFrame:
    """One line per run, epoch and parameter tensor: statistics over its mini-batches."""
    return _tables(folders, "layer_epochs")


def provenance(*folders: str | Path) -> dict[str, str]:
    """What the runs below some folders were made with: each key with its values, and their number.

    Kept sweeps have none.
    """
    found: dict[str, Counter[str]] = {}
    for run in _all_runs([folder for folder in folders if not kept.rows_of(folder)]):
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


def settings(
    rows: pd.DataFrame, *, together: Sequence[str] = ()
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Blocks of rows that differ only in batch, lr, seed and fold, each under what sets it apart.

    Args:
        rows: as `read` gives them; damaged ones belong to no block.
        together: columns that may differ within a block, too, such as `clip`; with `optimizer`,
            its own settings as well.
    """
    rows = rows[rows["status"] != "corrupt"]
    choices = ("model", "data", "optimizer", "protocol", "duration", "clip")
    nested = [key for key in map(str, rows) if "." in key and not key.startswith("logger.")]
    nested = [key for key in nested if not key.endswith(".fold")]
    keys: list[str] = []
    apart = [key for key in (*choices, *nested) if not {key, key.partition(".")[0]} & {*together}]
    for key in apart:
        if _groups(rows, [*keys, key]) > _groups(rows, keys):
            keys.append(key)
    if not keys:
        yield "", rows
        return
    for values, block in rows.groupby(keys, dropna=False, sort=True):
        yield (
            ", ".join(f"{key}={_shown(value)}" for key, value in zip(keys, values, strict=True)),
            block,
        )


def _shown(value: Any) -> str:
    if pd.isna(value):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


_UNSHOWN = ("config", "measured", "provenance", "schema")
_REMEDY = "delete it to train this run again, or restore it from a copy"


def _all_runs(folders: Sequence[str | Path]) -> list[Path]:
    """The runs below some folders, each once, however many of the folders hold it."""
    found: dict[str, Path] = {}
    for folder in folders:
        if not Path(folder).exists():
            raise FileNotFoundError(f"{folder} does not exist; is that its name?")
        runs = list(_runs(Path(folder)))
        if not runs:
            raise FileNotFoundError(f"no {FILE} below {folder}; did any run of this sweep finish?")
        for run in runs:
            found.setdefault(os.path.abspath(run), run)
    return list(found.values())


def _runs(folder: Path) -> Iterator[Path]:
    """Folders with a row, in the order of their names; nothing is searched below them."""
    if (folder / FILE).is_file():
        yield folder
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from _runs(Path(entry.path))


def _gathered(folders: Sequence[str | Path]) -> pd.DataFrame:
    """The rows below some folders, each with its numbers and the config keys that vary."""
    lines, configs = [], []
    for run in _all_runs(folders):
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


def _groups(rows: pd.DataFrame, keys: list[str]) -> int:
    return len(rows[keys].drop_duplicates()) if keys else min(len(rows), 1)


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


def _tables(folders: tuple[str | Path, ...], table: str) -> pd.DataFrame:
    """One table of all runs below `folders`, or kept there; study and run come first."""
    parts = [kept.table(folder, table) for folder in folders if kept.rows_of(folder)]
    parts = [part for part in parts if len(part)]
    for run in _all_runs([folder for folder in folders if not kept.rows_of(folder)]):
        part = read_parts(run / table)
        if len(part):
            part.insert(0, "study", run.absolute().parent.name)
            part.insert(1, "run", run.name)
            parts.append(part)
    if not parts:
        return pd.DataFrame()
    joined = pd.concat(parts, ignore_index=True)
    return joined.astype({"study": "category", "run": "category"})


def _checksum(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def strict(value: Any) -> Any:
    """Strict JSON's form of a value; an unmeasured number is left out of its mapping."""
    if isinstance(value, Mapping):
        return {
            str(key): strict(entry)
            for key, entry in value.items()
            if not (isinstance(entry, float) and math.isnan(entry))
        }
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _loose(value: Any) -> Any:
    """Undo what strict JSON made of an infinite number."""
    if isinstance(value, dict):
        return {key: _loose(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_loose(entry) for entry in value]
    return (
        {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
    )
