"""Rows of runs as one table: measurements, and the config keys that differ between runs."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.contracts.columns import FIXED, NOTES, ROOT_KEYS, SWITCHES, TEXT
from scaling.contracts.precision import rounded
from scaling.storage.rows import read_row

_UNSHOWN = ("config", "measured", "provenance", "schema")  # fields of a row without a column


def gathered(runs: Sequence[Path]) -> pd.DataFrame:
    """The rows of some runs, with the config keys that vary; damaged ones are `corrupt` lines."""
    lines, configs = [], []
    for run in runs:
        line, config = _line(run)
        lines.append(line)
        configs.append(config)
    columns = {
        key: column if key in TEXT else pd.to_numeric(column)
        for key, column in pd.DataFrame(lines).items()
    }
    table = pd.DataFrame(columns)
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
    config.pop("data.path", None)  # where the data were, not what they contain
    config["data.fingerprint"] = row.provenance.get("data")
    if notes := row.provenance.get(NOTES):
        line[NOTES] = notes
    line["duration"] = config.get(row.protocol) or config.get("default_steps")
    line |= {key: config.get(key) for key in ROOT_KEYS} | row.measured
    line["study"] = run.absolute().parent.name  # as in the longer tables; a study may be renamed
    return line, config


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", str(value) if isinstance(value, list) else value


def _varying(configs: list[dict[str, Any]], without: set[str]) -> pd.DataFrame:
    """The config keys whose values differ between rows, except those that are columns already.

    Two kinds of keys are left out: switches of the command, which do not change a result, and keys
    of a group that equal a root key in every row (`optimizer.lr` is `lr`).
    """
    readable = [config for config in configs if config]
    without = without | set(SWITCHES)
    keys = {key: None for config in readable for key in config if key not in without}
    varying = []
    for key in keys:
        values = [config.get(key) for config in readable]
        leaf = key.rpartition(".")[2]
        copied = leaf in ROOT_KEYS and values == [config[leaf] for config in readable]
        if len(set(map(repr, values))) > 1 and not copied and not key.endswith("._target_"):
            varying.append(key)
    return pd.DataFrame({key: _one_type([c.get(key) for c in configs]) for key in varying})


def _one_type(values: list[Any]) -> list[Any]:
    """The values of a key, as text if some are: data sets may have a key of one name."""
    if not any(isinstance(value, str) for value in values):
        return values
    return [value if value is None else str(value) for value in values]
