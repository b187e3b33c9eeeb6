"""Comments of the keys in YAML files: what `--help` and the reference say about each key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

INTERNAL = ("_target_", "_partial_", "defaults", "by_scale", "hydra")
GLOBAL = "@package _global_"


@dataclass(frozen=True)
class Commented:
    """The comments of a config file."""

    header: tuple[str, ...] = ()  # paragraphs of the comment at its top
    keys: Mapping[str, str] = field(default_factory=dict)  # dotted key -> comment, or ""
    wired: frozenset[str] = frozenset()  # keys that another key sets, as in `batch: ${batch}`
    parents: tuple[str, ...] = ()  # files of the same group in its defaults


def read(file: Path, group: str = "") -> Commented:
    """Read the comments of a file.

    The comment of a key is behind its value, or in the lines above it. Keys of a group begin with
    the name of the group, unless the file is in Hydra's package `_global_`.

    Raises:
        OSError: if the file cannot be read.
        yaml.YAMLError: if it is not YAML.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    top = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [line.lstrip("#").rstrip() for line in lines[:top]]
    root = yaml.compose("\n".join(lines))
    if not isinstance(root, yaml.MappingNode):
        return Commented(_paragraphs(header))
    is_global = any(GLOBAL in line for line in header)
    entries = list(_entries(root, f"{group}." if group and not is_global else ""))
    return Commented(
        header=_paragraphs(line for line in header if GLOBAL not in line),
        keys={path: _comment(lines, key, value, top) for path, key, value in entries},
        wired=frozenset(
            path for path, _, value in entries
            if isinstance(value, yaml.ScalarNode) and value.value.startswith("${")
        ),
        parents=_parents(root),
    )  # fmt: skip


def find(group: str, option: str, folders: Sequence[Path]) -> Commented:
    """Read the comments of an option of a group, with those of the files that it extends.

    Args:
        group: such as `model`.
        option: such as `mlp`.
        folders: searched in this order; an option in none of them has no comments.
    """
    files = (folder / group / f"{option}.yaml" for folder in folders)
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return Commented()
    option_comments = read(file, group)
    keys, wired = dict(option_comments.keys), option_comments.wired
    for parent in option_comments.parents:
        extended = find(group, parent, folders)
        keys = {**keys, **extended.keys, **{key: text for key, text in keys.items() if text}}
        wired |= extended.wired - option_comments.keys.keys()
    return Commented(option_comments.header, keys, wired)


def _entries(
    node: yaml.MappingNode, prefix: str
) -> Iterator[tuple[str, yaml.ScalarNode, yaml.Node]]:
    """Dotted path, key and value of each key of a mapping, and of mappings inside it."""
    for key, value in node.value:
        if key.value in INTERNAL:
            continue
        path = f"{prefix}{key.value}"
        yield path, key, value
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _entries(value, f"{path}.")


def _comment(lines: Sequence[str], key: yaml.ScalarNode, value: yaml.Node, top: int) -> str:
    """The comment behind a value, else the comment lines right above its key."""
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    end = (key if block else value).end_mark
    if match := re.match(r":?\s*#\s*(.*)", lines[end.line][end.column :]):
        return match[1].strip()
    above: list[str] = []
    margin = " " * key.start_mark.column + "#"
    for line in reversed(lines[top : key.start_mark.line]):
        if not line.startswith(margin):
            break
        above.insert(0, line.removeprefix(margin).strip())
    return " ".join(above)


def _parents(root: yaml.MappingNode) -> tuple[str, ...]:
    """The files of the same group that a file's `defaults` name, in their order."""
    for key, value in root.value:
        if key.value == "defaults":
            named = (entry.value for entry in value.value if isinstance(entry, yaml.ScalarNode))
            return tuple(name for name in named if name != "_self_")
    return ()


def _paragraphs(lines: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    """Join the lines of a header; a line that begins with `Word:` begins a paragraph."""
    parts: list[str] = []
    for line in lines:
        if parts and not re.match(r" [A-Z][\w ]{0,20}: ", line):
            parts[-1] = f"{parts[-1]} {line.strip()}"
        elif line.strip():
            parts.append(re.sub(r": +", ": ", line.strip(), count=1))
    return tuple(parts)
