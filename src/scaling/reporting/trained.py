"""Facts on what a sweep trained: model, data, optimizer, duration, axes, seeds, hardware."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling import results
from scaling.contracts.settings import AXIS, settings_of

MOST = 6  # values of an axis that are listed; more are given as a range


def trained(rows: pd.DataFrame, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Facts that the runs have in common, and the axes on which they differ, by label.

    Args:
        rows: from `scaling.results.read`.
        folders: of the runs; a table of rows knows neither options nor hardware.
    """
    config, provenance = results.example(*folders), results.provenance(*folders)
    facts = {
        "model": _option(rows, "model", config) + _range(rows, "parameters", ", {} parameters"),
        "data": _option(rows, "data", config),
        "optimizer": _option(rows, "optimizer", config) + _schedule(rows, config),
        "duration": _duration(rows),
        "swept": "; ".join(_axes(rows)),
        "seeds": _seeds(rows),
        "hardware": _hardware(provenance),
    }
    return {label: text.removeprefix(", ") for label, text in facts.items() if text}


def _option(rows: pd.DataFrame, group: str, config: Mapping[str, Any]) -> str:
    """The options of a group; with its keys if the example speaks for all runs."""
    names = [str(name) for name in rows[group].dropna().unique()] if group in rows else []
    if len(names) != 1:
        return " or ".join(sorted(names))
    return names[0] + _keys(rows, group, config)


def _keys(rows: pd.DataFrame, group: str, config: Mapping[str, Any]) -> str:
    """The keys of a group that are the same in all runs, in parentheses."""
    start = f"{group}."
    varied = {key.removeprefix(start) for key in map(str, rows) if key.startswith(start)}
    shown = [
        f"{key} {_short(value)}"
        for key, value in dict(config.get(group) or {}).items()
        if key not in varied | _QUIET and value is not None and not isinstance(value, dict)
    ]
    return f" ({', '.join(shown)})" if shown else ""


# keys that are shown elsewhere, or say little about what is trained
_QUIET = {
    *("_target_", "_partial_", "lr", "batch", "seed", "microbatches", "fused", "path", "workers"),
    *("eps", "foreach", "capturable", "params"),
}


def _schedule(rows: pd.DataFrame, config: Mapping[str, Any]) -> str:
    name = str(dict(config.get("schedule") or {}).get("_target_", "")).rpartition(".")[2]
    return f", {name} lr{_keys(rows, 'schedule', config)}" if name else ""


def _duration(rows: pd.DataFrame) -> str:
    """Steps and examples of a run, and which of them was fixed."""
    fixed = sorted(map(str, rows["protocol"].dropna().unique())) if "protocol" in rows else []
    parts = [_range(rows, key, f"{{}} {key}") for key in ("steps", "examples")]
    text = ", ".join(part for part in parts if part)
    return f"{text} (equal {' or '.join(fixed)})" if text and fixed else text


def _axes(rows: pd.DataFrame) -> Iterator[str]:
    """The settings that vary, each with its values."""
    for key in settings_of(rows):
        if key in ("seed", "model", "data", "optimizer", "protocol", "duration", "fold"):
            continue
        values = sorted(rows[key].dropna().unique(), key=lambda v: (isinstance(v, str), v))
        if len(values) > 1:
            few = ", ".join(map(_short, values))
            many = f"{len(values)} values from {_short(values[0])} to {_short(values[-1])}"
            yield f"{key.removeprefix(AXIS)} {few if len(values) <= MOST else many}"


def _seeds(rows: pd.DataFrame) -> str:
    seeds = sorted(rows["seed"].dropna().unique())
    text = f"{len(seeds)} ({', '.join(map(_short, seeds))})" if 1 < len(seeds) <= MOST else ""
    folds = rows["fold"].nunique() if "fold" in rows else 0
    return (text or str(len(seeds))) + (f", {folds} folds each" if folds > 1 else "")


def _hardware(provenance: Mapping[str, str]) -> str:
    keys = [provenance[key] for key in ("device", "host") if provenance.get(key)]
    threads = f"threads a run: {provenance['threads']}" if provenance.get("threads") else ""
    return ", ".join(filter(None, [*keys, threads]))


def _range(rows: pd.DataFrame, key: str, form: str) -> str:
    values = rows[key].dropna() if key in rows else pd.Series(dtype=float)
    if values.empty:
        return ""
    low, high = f"{values.min():,.0f}", f"{values.max():,.0f}"
    return form.format(low if low == high else f"{low} to {high}")


def _short(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return str(int(value)) if float(value).is_integer() else f"{value:g}"
