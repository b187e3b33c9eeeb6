"""One run, one row: how it is written, whole or not at all, and how it is read."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.contracts.atomic_write import atomic_write
from scaling.contracts.columns import Status

ROW_FILE = "row.json"
# 1: identities had the import paths of components, and not always the content of the data.
SCHEMA = 2
READ = (1, SCHEMA)


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


def write_row(row: Row, folder: Path) -> None:
    """Write `row` into its run's folder, whole or not at all.

    Strict JSON knows neither nan nor inf: unmeasured numbers are left out, infinite ones become
    the strings "inf" and "-inf". The record carries a checksum of itself.

    Raises:
        OSError: if the file cannot be written; an earlier row then stays as it was.
    """
    record = strict(vars(row))
    record["checksum"] = _checksum(record)
    write_json(record, folder / ROW_FILE)


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write a file of strict JSON, whole or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(record, indent=1, allow_nan=False))


def read_row(folder: Path) -> Row | None:
    """The row of one run's folder, or None if it has none.

    Raises:
        ValueError: if the row is damaged, was edited, or has a schema that is not known.
    """
    path = folder / ROW_FILE
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


_REMEDY = "delete it to train this run again, or restore it from a copy"


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


def run_folders(folder: Path) -> Iterator[Path]:
    """Folders with a row, in the order of their names; nothing is searched below them."""
    if (folder / ROW_FILE).is_file():
        yield folder
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from run_folders(Path(entry.path))
