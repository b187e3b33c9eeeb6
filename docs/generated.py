"""Parts of the documentation that are generated from files of this repository."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandas as pd
import yaml

import scaling
from scaling.config import key_comments, schema
from scaling.config.folder import FOLDER

COMMENT = re.compile(r"# (\w+): +(.*)")  # `# Question: does ...` in an experiment's header
FIELD = re.compile(  # name, type and comment of a dataclass's field
    r"^    (\w+): ([^#=\n]*[^#=\s])(?: = [^#\n]*)? *(?:# (.*))?$", re.MULTILINE
)
UNLISTED = ("experiment", "hydra")  # folders of conf that have no options to choose
PUBLIC, TABLES = (
    Path(__file__).parent / "results" / "public_runs",
    ("exponents", "turns", "held_out"),
)
HEADERS = {
    "batch": "B_n",
    "loss_lost": "nats lost, through the runs",
    "loss_lost_cubic": "on cubics",
}


def experiments() -> str:
    """List the experiments in a table, then each with its header."""
    headers = {file.stem: header(file) for file in _options("experiment")}
    lines = ["| `experiment=` | runs | question |", "|---|---|---|"]
    lines += [
        f"| [`{name}`](#experiment-{name}) | {runs(fields)} | {' '.join(fields['Question'])} |"
        for name, fields in headers.items()
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(map(_section, headers, headers.values()))


def header(file: Path) -> dict[str, list[str]]:
    """Read the comment at the top of an experiment's file: its fields, each with its lines."""
    fields: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        if match := COMMENT.match(line):
            fields[match[1]] = lines = [match[2]]
        elif fields and line.startswith("#  "):
            lines.append(line.removeprefix("#").strip())
        elif fields:
            break
    return fields


def runs(fields: dict[str, list[str]]) -> int:
    """Read the number of runs of an experiment from its header."""
    return int(fields["Cost"][0].split()[0])


def root_keys() -> str:
    """List the root keys with their meaning, default and limits."""
    defaults = yaml.safe_load((FOLDER / "config.yaml").read_text())
    lines = ["| key | meaning | default | limits |", "|---|---|---|---|"]
    for key, meaning in key_comments.read(FOLDER / "config.yaml").keys.items():
        limit = schema.LIMITS[key][1] if key in schema.LIMITS else ""
        lines.append(f"| `{key}` | {_cell(meaning)} | `{_typed(defaults[key])}` | {limit} |")
    return "\n".join(lines)


def groups() -> str:
    """Show the file of each option of each config group."""
    folders = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir())
    parts = []
    for folder in (folder for folder in folders if folder.name not in UNLISTED):
        parts.append(f"## `{folder.name}`\n")
        for file in _options(folder.name):
            text = file.read_text().strip() or "# no values"
            parts.append(f"`{folder.name}={file.stem}`\n\n```yaml\n{text}\n```\n")
    return "\n".join(parts)


def api() -> str:
    """Document the names of the package, in the groups of its docstring."""
    groups = re.findall(r"^- ([^:]+): (.*(?:\n  .*)*)", scaling.__doc__ or "", re.MULTILINE)
    parts = []
    for title, text in groups:
        parts.append(f"## {title}\n\n{text[0].upper()}{' '.join(text[1:].split())}\n")
        names = [name for name in re.findall(r"`(\w+)`", text) if name in scaling.__all__]
        listed = "\n".join(map(_directive, names))
        parts.append(f"```{{eval-rst}}\n{listed}\n```\n")
    return "\n".join(parts)


def results() -> str:
    """List the fields of what the functions of the package return."""
    functions = filter(inspect.isfunction, (getattr(scaling, name) for name in scaling.__all__))
    kinds = [kind for each in functions for kind in _dataclasses(get_type_hints(each)["return"])]
    return "\n".join(map(_fields, dict.fromkeys(kinds)))


def public_runs(name: str) -> str:
    """A table of `public_runs.py`, with each mean and its interval in one column."""
    table = pd.read_csv(PUBLIC / f"{name}.csv")
    shown: dict[str, list[str]] = {}
    for key in table:
        if key.endswith(("low", "high")):
            continue
        prefix = "" if key in ("exponent", "batch") else f"{key}_"
        values = [_number(value) for value in table[key]]
        if f"{prefix}low" in table and key not in ("parameters", "tokens", "form"):
            ends = zip(table[f"{prefix}low"], table[f"{prefix}high"], strict=True)
            intervals = [f"{_number(low)} to {_number(high)}" for low, high in ends]
            values = [f"{x} ({y})" for x, y in zip(values, intervals, strict=True)]
        shown[HEADERS.get(key, key)] = values
    lines = [" | ".join(shown), " | ".join("---" for _ in shown)]
    lines += [" | ".join(row) for row in zip(*shown.values(), strict=True)]
    return "\n".join(f"| {line} |" for line in lines)


def _number(value: Any) -> str:
    """Three digits; an empty field for a missing number."""
    return value if isinstance(value, str) else f"{value:.3g}"


GENERATED = {
    "experiments": experiments,
    "root keys": root_keys,
    "groups": groups,
    "api": api,
    "results": results,
    **{f"public runs: {name}": partial(public_runs, name) for name in TABLES},
}


def fill(app: Any, page: str, source: list[str]) -> None:
    """Replace `<!-- generated: NAME -->` in a page by what is generated under that name.

    A quotation above it is for readers of the source, and is replaced, too.
    """
    for name, make in GENERATED.items():
        marker = f"<!-- generated: {name} -->"
        if marker in source[0]:
            parts = re.split(rf"(?:(?:^> .*\n)+\n)?{marker}", source[0], flags=re.MULTILINE)
            source[0] = make().join(parts)


def _options(group: str) -> list[Path]:
    return sorted((FOLDER / group).glob("*.yaml"))


def _directive(name: str) -> str:
    thing = getattr(scaling, name)
    kind = (
        "class" if inspect.isclass(thing) else "module" if inspect.ismodule(thing) else "function"
    )
    members = "" if kind == "function" else "   :members:\n"
    return f".. auto{kind}:: scaling.{name}\n{members}"


def _dataclasses(hint: Any, above: tuple[Any, ...] = ()) -> Iterator[type]:
    """Find the dataclasses in an annotation, and those in the annotations of their fields."""
    for part in get_args(hint):
        yield from _dataclasses(part, above)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in above:
        yield hint
        for part in get_type_hints(hint).values():  # one of them may be of the same class
            yield from _dataclasses(part, (*above, hint))


def _fields(kind: type) -> str:
    fields = FIELD.findall(inspect.getsource(kind))
    rows = [f"| `{name}` | `{_cell(type_)}` | {_cell(note)} |" for name, type_, note in fields]
    table = "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])
    return f"### `{kind.__name__}`\n\n{inspect.getdoc(kind)}\n\n{table}\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _section(name: str, fields: dict[str, list[str]]) -> str:
    parts = {key: lines for key, lines in fields.items() if key not in ("Question", "Command")}
    listed = "\n".join(f"- {key}: {' '.join(lines)}" for key, lines in parts.items())
    question, commands = " ".join(fields["Question"]), "\n".join(fields["Command"])
    return (
        f"(experiment-{name})=\n## `{name}`\n\n{question[0].upper()}{question[1:]}\n\n"
        f"```bash\n{commands}\n```\n\n{listed}\n"
    )


def _typed(value: object) -> str:
    """Spell a value as it is typed in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
