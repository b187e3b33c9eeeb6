"""Parts of the documentation that are generated from files of this repository."""

import inspect
import re
from pathlib import Path
from typing import Any

import yaml

from scaling.config import schema

COMMENT = re.compile(r"# (\w+): +(.*)")  # `# Question: does ...` in an experiment's header
FIELD = re.compile(r"^    (\w+): [^#\n]*# (.*)$", re.MULTILINE)  # of the dataclass of root keys
UNLISTED = ("experiment", "hydra", "at_scale")  # folders of conf that have no options to choose


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
    defaults = yaml.safe_load((schema.FOLDER / "config.yaml").read_text())
    lines = ["| key | meaning | default | limits |", "|---|---|---|---|"]
    for key, meaning in FIELD.findall(inspect.getsource(schema.Run)):
        limit = schema.LIMITS[key][1] if key in schema.LIMITS else ""
        lines.append(f"| `{key}` | {meaning} | `{_typed(defaults[key])}` | {limit} |")
    return "\n".join(lines)


def groups() -> str:
    """Show the file of each option of each config group."""
    folders = sorted(folder for folder in schema.FOLDER.iterdir() if folder.is_dir())
    parts = []
    for folder in (folder for folder in folders if folder.name not in UNLISTED):
        parts.append(f"## `{folder.name}`\n")
        for file in _options(folder.name):
            text = file.read_text().strip() or "# no values"
            parts.append(f"`{folder.name}={file.stem}`\n\n```yaml\n{text}\n```\n")
    return "\n".join(parts)


GENERATED = {"experiments": experiments, "root keys": root_keys, "groups": groups}


def fill(app: Any, page: str, source: list[str]) -> None:
    """Replace `<!-- generated: NAME -->` in a page by what is generated under that name."""
    for name, make in GENERATED.items():
        marker = f"<!-- generated: {name} -->"
        if marker in source[0]:
            source[0] = source[0].replace(marker, make())


def _options(group: str) -> list[Path]:
    return sorted((schema.FOLDER / group).glob("*.yaml"))


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
