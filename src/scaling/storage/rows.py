"""The row of a run: one file, written atomically."""

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
# Schema 1 had import paths in identities, and not always the content of the data.
SCHEMA = 2
READ = (1, SCHEMA)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Config, measurements and provenance of a run.

    A number that was not measured is missing from `measured`, never 0. A diverged run is a result
    like any other; a failed one has its `error`.
    """

    study: str
    run: str  # name of its folder
    digest: str  # identity of its config
    status: Status
    error: str | None = None
    model: str  # the option of the config group of that name
    data: str
    optimizer: str
    protocol: str  # the duration that was fixed: steps, epochs or examples
    config: dict[str, Any]  # the whole resolved config
    measured: dict[str, float] = field(default_factory=dict)  # column -> number
    provenance: dict[str, Any] = field(default_factory=dict)  # versions, host, device, times
    schema: int = SCHEMA  # digests of earlier schemas match no config of today


def write_row(row: Row, folder: Path) -> None:
    """Write a row into its run's folder atomically, with a checksum.

    Strict JSON has neither nan nor inf: nan is left out, and infinite numbers become the strings
    "inf" and "-inf".

    Raises:
        OSError: if the file cannot be written; an earlier row is kept.
    """
    record = strict(vars(row))
    record["checksum"] = _checksum(record)
    write_json(record, folder / ROW_FILE)


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write a file of strict JSON atomically."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(record, indent=1, allow_nan=False))


def read_row(folder: Path) -> Row | None:
    """Read the row of a run's folder; None if absent.

    Raises:
        ValueError: if the row is damaged, was edited, or has an unknown schema.
    """
    path = folder / ROW_FILE
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema not in READ:
        raise ValueError(
            f"{path} has schema {schema}, but this version reads {' and '.join(map(str, READ))}; "
            f"read it with the version that wrote it, or {_REMEDY}"
        )
    if record.pop("checksum", None) != _checksum(record):
        raise ValueError(f"{path} was changed (its checksum differs); {_REMEDY}")
    return Row(**record | {part: _loose(record[part]) for part in ("config", "measured")})


_REMEDY = "delete it to train this run again, or restore it from a copy"


def _checksum(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def strict(value: Any) -> Any:
    """Convert a value to strict JSON; nan entries of mappings are dropped."""
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
    """The inverse of `strict` for infinite numbers."""
    if isinstance(value, dict):
        return {key: _loose(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_loose(entry) for entry in value]
    return (
        {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
    )


def run_folders(folder: Path) -> Iterator[Path]:
    """Folders with a row, sorted by name; folders inside a run are not searched."""
    if (folder / ROW_FILE).is_file():
        yield folder
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from run_folders(Path(entry.path))
