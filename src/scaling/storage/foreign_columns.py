"""Names, numbers and states as other programs write them, in the words of this package.

Reads tables exported by Weights & Biases, MLflow and Ray Tune, and by hand.
"""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from scaling.contracts.columns import ALIASES

OPTIONAL = ("clip", "seed", "status")  # can be set aside
SIMILAR = 0.75  # of names that may be meant; `b` and `bs`, `arch` and `batch` have 0.67
NAMELESS = "Unnamed column"
CONFIGS = ("config", "params", "parameters", "hparams", "hyperparameters")
PREFIXES = (*CONFIGS, "metrics", "summary")
# Groups inside a config, as in `config.optimizer.lr`.
GROUPS = ("optimizer", "optim", "training", "train", "trainer", "data", "dataloader", "model")
GENERAL = ("size", "rate")  # words that end many names, such as `model_size`
STATES = {
    "done": ("done", "finished", "complete", "completed", "success", "succeeded", "terminated"),
    "failed": ("failed", "crashed", "error", "errored", "killed", "preempted", "stopped", "fail"),
    "interrupted": (
        *("interrupted", "running", "pending", "queued", "scheduled", "paused", "pruned"),
        "preempting",
    ),
    "diverged": ("diverged",),
    "corrupt": ("corrupt",),
}
# Columns that describe a run, and change no result.
METADATA = (
    *("name", "run_name", "id", "run_id", "trial_id", "experiment_id", "experiment", "group"),
    *("user", "username", "host", "hostname", "node", "node_ip", "machine", "device", "worker"),
    *("tags", "notes", "note", "comment", "created", "date", "time", "timestamp", "runtime"),
    *("duration", "start_time", "end_time", "source_name", "source_type", "artifact_uri"),
    *("logdir", "done", "training_iteration", "job_type", "project", "entity", "commit"),
    *("git_commit", "version", "pid", "sweep"),
)
FACTORS = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "": 1.0}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmbg]?)", re.IGNORECASE)
_UNIT = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*$")
_FACTOR = re.compile(
    r"[(\[]([^)\]]*(\d|%|percent|milli|micro|log|thousand|million|billion)[^)\]]*|[kMBG]\b[^)\]]*)[)\]]\s*$"
)
BYTE_ORDERS = (b"\xff\xfe", b"\xfe\xff")
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip: .xlsx, .ods; OLE: .xls


def decoded(path: Path) -> str:
    """The text of a file in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        ValueError: if it is neither, or a spreadsheet.
    """
    content = path.read_bytes()
    if content.startswith(SPREADSHEETS):
        raise ValueError(f"{path} is a spreadsheet, despite its name; save the sheet as CSV")
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a table of runs: it is not UTF-8 text ({error.reason} at byte "
            f"{error.start}); save it as CSV in UTF-8"
        ) from error


def _encoding(content: bytes) -> str:
    """The encoding; in UTF-16 without a byte order mark, one half of a Latin letter is zero."""
    if content.startswith(BYTE_ORDERS):
        return "utf-16"
    first, second = content[:1], content[1:2]
    if b"\0" not in (first, second):
        return "utf-8-sig"
    return "utf-16-be" if first == b"\0" else "utf-16-le"


def separator(header: str) -> str:
    """The separator of a table with this first line: a comma, semicolon or tab."""
    return max(",;\t", key=header.count)


def named(header: Sequence[str], columns: Mapping[str, str], path: Path) -> list[str]:
    """Our names of the columns of a table.

    Args:
        header: the names in the file.
        columns: our names -> names in the file, as typed; the others are found by `ALIASES`. An
            empty one sets the column aside: it becomes nameless. A number that is not a name in the
            file is a value that all runs share (`shared_values`).
        path: of the file, for messages.

    Raises:
        ValueError: for a column that is not there, two for one name, or one that cannot be set
            aside.
    """
    stripped = [name.strip() for name in header]
    aside = {name for key, given in columns.items() if not given for name in _aside(key, stripped)}
    stripped = [
        name if name and name not in aside else f"{NAMELESS} {i}"
        for i, name in enumerate(stripped, 1)
    ]
    if twice := sorted({name for name in stripped if name and stripped.count(name) > 1}):
        raise ValueError(f"{path} has two columns {', '.join(twice)}; keep one of each")
    ours: dict[str, str] = {}
    shared = shared_values(columns, stripped)
    for key, name in columns.items():
        if not name or key in shared:
            continue
        if name not in stripped:
            near = difflib.get_close_matches(name, stripped, n=3)
            again = shlex.join([f"{key}={near[0]}"]) if near else f"{key}=NAME"
            raise ValueError(
                f"{path} has no column {name!r}, but {', '.join(map(repr, near or stripped))}; "
                f"name it with --columns {again}"
            )
        if name in ours:
            raise ValueError(f"{name!r} is given to both {ours[name]} and {key} in --columns")
        if key in ALIASES and _FACTOR.search(name):
            raise ValueError(_factor(name, key, path))
        ours[name] = key
    for key in ALIASES:
        if key in columns or (key in stripped and "digest" in stripped):
            continue
        found = _called(key, [name for name in stripped if name not in ours])
        if len(found) > 1:
            choice = shlex.join([f"{key}={found[0]}"])
            raise ValueError(
                f"{path} has {len(found)} columns for {key}: {', '.join(map(repr, found))}; choose "
                f"one, such as --columns {choice}"
            )
        for name in found:
            if _FACTOR.search(name):
                raise ValueError(_factor(name, key, path))
            ours[name] = key
    # a column of our name that another one was given to is not ours
    taken = set(ours.values())
    return [ours.get(name, f"{name} (unused)" if name in taken else name) for name in stripped]


def shared_values(columns: Mapping[str, str], header: Sequence[str]) -> dict[str, str]:
    """The values that are typed in place of a missing column, such as `batch=32`."""
    return {
        key: name
        for key, name in columns.items()
        if key != "val_loss"
        and _NUMBER.fullmatch(name)
        and name not in header
        and not _called(key, header)
    }


def _called(key: str, header: Sequence[str]) -> list[str]:
    """The columns that have a usual name of ours, outside the groups of a config if there are."""
    usual = (key, *ALIASES.get(key, ()))
    return [name for name in header if _plain(name) in usual] or [
        name for name in header if _ungrouped(name) in usual
    ]


def _ungrouped(name: str) -> str:
    """A plain name without groups of a config: `lr` of `config.optimizer.lr`.

    `train/learning_rate` keeps its group: it was logged, and is the last value of a schedule.
    """
    first, *_ = re.split(r"\W+|_", name.strip().lower())
    words = _plain(name).split("_")
    while first in CONFIGS and len(words) > 1 and words[0] in GROUPS:
        words = words[1:]
    return "_".join(words)


def _aside(key: str, header: Sequence[str]) -> list[str]:
    """The columns that are set aside by a key."""
    if key not in OPTIONAL:
        listed = ", ".join(f"{name}=" for name in OPTIONAL)
        raise ValueError(f"{key}= names no column; those that can be set aside are {listed}")
    return _called(key, header)


def _factor(name: str, key: str, path: Path) -> str:
    return (
        f"{path} has a factor in the name of its column {name!r}; write plain numbers into a "
        f"column {key}"
    )


def first_line(content: str) -> int:
    """The start of the header, after blank lines, comments and a spreadsheet's `sep=`."""
    begun = re.search(r"^(?!\s*$|#|sep=).", content, re.MULTILINE | re.IGNORECASE)
    return begun.start() if begun else len(content)


def missing(key: str, header: Sequence[str]) -> str:
    """The remedy for a column that was not found: the nearest names, and the option."""
    near = nearest(key, header)
    listed = ", ".join(map(repr, near[:5] or header[:8]))
    chosen = shlex.quote(f"{key}={near[0]}") if near else f"{key}=NAME"
    shared = ", or batch=32 if all runs have that batch size" if key == "batch" else ""
    return f"no column {key}, but {listed}; name it with --columns {chosen}{shared}"


def nearest(key: str, header: Sequence[str]) -> list[str]:
    """The columns that may be meant: those that end in its words, then similar ones."""
    names = (key, *ALIASES.get(key, ()))
    last = {name.split("_")[-1] for name in names}
    near = [
        name for name in header
        if _plain(name).split("_")[-1] in last.difference(GENERAL) or _plain(name) in last
    ]  # fmt: skip
    near += [name for it in names for name in difflib.get_close_matches(it, header, 1, SIMILAR)]
    logged = [name for name in header if key == "lr" and name.startswith("train/")]
    return [name for name in dict.fromkeys(near) if name not in logged]


def is_metadata(name: str) -> bool:
    """Whether a column describes a run, and is not a setting."""
    return _plain(name) in METADATA


def _plain(name: str) -> str:
    """A name without prefix, unit, case and punctuation."""
    words = [word for word in re.split(r"\W+|_", _UNIT.sub("", name).lower()) if word]
    while len(words) > 1 and words[0] in PREFIXES:
        words = words[1:]
    return "_".join(words)


def numbers(column: pd.Series, path: Path, *, suffix: bool = True) -> pd.Series:
    """Numbers of a column that was read as text; `0.5M` is 500,000 if a suffix is allowed.

    Raises:
        ValueError: for anything else, naming the line and the remedy.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column
    values = []
    for line, text in zip(column.index + 2, column, strict=True):
        if not isinstance(text, str):
            values.append(float("nan") if text is None else float(text))
            continue
        text = text.strip()
        if (match := _NUMBER.fullmatch(text)) and (suffix or not match[2]):
            values.append(float(match[1]) * FACTORS[match[2].lower()])
            continue
        try:
            values.append(float(text))  # inf, Infinity
        except ValueError:
            where = f"{path} has {text!r} in its column {column.name}, line {line}"
            raise ValueError(f"{where}; {_remedy(text)}") from None
    return pd.Series(values, index=column.index, name=column.name, dtype=float)


def _remedy(text: str) -> str:
    if "%" in text:
        return "write a plain number, without a percent sign"
    if re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+", text):
        return f"write it without separators of thousands: {text.replace(',', '')}"
    if re.fullmatch(r"[-+]?\d*,\d+(e[-+]?\d+)?", text, re.IGNORECASE):
        return f"write decimals with a point: {text.replace(',', '.')}"
    return "it must be a number"


def statuses(column: pd.Series, path: Path) -> pd.Series:
    """Statuses in our words; an empty field is `done`.

    Raises:
        ValueError: for unknown words, by name.
    """
    words = {word: ours for ours, theirs in STATES.items() for word in theirs}
    given = column.fillna("done").astype(str).str.strip().str.lower()
    if unknown := sorted(set(given) - set(words)):
        known = ", ".join(words)
        raise ValueError(
            f"{path} has the unknown status {', '.join(unknown)}; known statuses: {known}; "
            "to set the column aside, so that every run with a loss is done: --columns status="
        )
    return given.map(words)
