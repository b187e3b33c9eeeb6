"""The keys of `python -m scaling.train --help`: key, default and meaning of each."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from scaling.config import key_comments
from scaling.config.folder import FOLDER
from scaling.config.key_comments import Commented
from scaling.config.schema import GROUPS, OPTIONAL

LISTED = (*GROUPS, *OPTIONAL, "experiment", "scale")  # groups whose options are listed
WIDTH = 80  # columns at most
KEYS, DEFAULTS, COMMENTS = 31, 10, 30  # widths of columns: at most, at most, at least


def register() -> None:
    """Register the resolver of `${scaling.keys:}`, for the template of Hydra's help.

    Hydra copies its store of configs for each group that its help lists, which takes half the time
    of `--help`. No command changes the store, so a copy may be the store itself.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    OmegaConf.register_new_resolver(
        "scaling.keys",
        lambda *, _root_: keys(_root_).replace("$", "$$"),  # a name begins with $ in templates
        replace=True,
    )


def keys(root: DictConfig) -> str:
    """The options of each group, the root keys, and the keys of the chosen options.

    Args:
        root: the composed config, with Hydra's own node.
    """
    choices, folders = dict(root.hydra.runtime.choices), _folders(root)
    config: Any = OmegaConf.to_container(root, resolve=False)
    top = key_comments.read(FOLDER / "config.yaml")
    typed = {key: config[key] for key in top.keys if key not in LISTED}
    parts = [
        _options(choices, folders),
        "\n".join(["Keys (key=value)", *_table(dict(_flat(typed, top)), top)]),
    ]
    for group in LISTED:
        option = choices.get(group)
        if option not in (None, "null"):
            parts.append("\n".join(_section(group, option, config, folders)))
    return "\n\n".join(parts)


def _section(
    group: str, option: str, config: Mapping[str, Any], folders: Sequence[Path]
) -> Iterator[str]:
    """The description of an option, and a line for each of its keys."""
    comments = key_comments.find(group, option, folders)
    yield f"{group}={option}"
    for paragraph in comments.header:
        yield from textwrap.wrap(paragraph, _width(), initial_indent="  ", subsequent_indent="  ")
    node = {} if group in ("experiment", "scale") else config.get(group)
    yield from _table(dict(_flat({group: node} if node else {}, comments)), comments)


def _flat(
    node: Mapping[str, Any], comments: Commented, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Dotted key and default of each key of a node that a user may set."""
    for key, value in node.items():
        path = f"{prefix}{key}"
        if key in key_comments.INTERNAL:
            continue
        wired = isinstance(value, str) and value.startswith("${")
        if wired and not comments.keys.get(path):
            continue
        if isinstance(value, Mapping) and value:
            if prefix:
                yield path, ""
            yield from _flat(value, comments, f"{path}.")
        else:
            yield path, "as " + value[2:-1] if wired else _typed(value)


def _table(shown: Mapping[str, str], comments: Commented) -> list[str]:
    """A line or more for each key: its name, its default, and its comment."""
    if not shown:
        return []
    width = _width()
    short = {key: default for key, default in shown.items() if len(key) <= KEYS}
    first = 2 + max(map(len, short), default=0)
    second = first + 2 + max((n for n in map(len, short.values()) if n <= DEFAULTS), default=0)
    if width - second < COMMENTS:  # each comment goes below its key
        second = 4
    lines = []
    for key, default in shown.items():
        start = f"  {key}".ljust(first) + "  " + default
        comment = comments.keys.get(key, "")
        if len(start) > second or not comment:
            lines.append(start)
            start = ""
        lines += textwrap.wrap(
            comment, width, initial_indent=start.ljust(second + 2),
            subsequent_indent=" " * (second + 2), break_on_hyphens=False,
        )  # fmt: skip
    return [line.rstrip() for line in lines]


def _options(choices: Mapping[str, str], folders: Sequence[Path]) -> str:
    """A line for each group, wrapped if it is long: its options, the chosen one first."""
    first = 4 + max(map(len, LISTED))
    lines = ["Options (group=option; the first is what this command takes)"]
    for group in LISTED:
        files = {file.stem for folder in folders for file in (folder / group).glob("*.yaml")}
        chosen = choices.get(group) or "null"
        names = ", ".join([chosen, *sorted(files - {chosen})])
        lines += textwrap.wrap(
            names, _width(), initial_indent=f"  {group}".ljust(first),
            subsequent_indent=" " * first, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)


def _folders(root: DictConfig) -> list[Path]:
    """The folders that Hydra searches for YAML files, in its order."""
    sources = [source for source in root.hydra.runtime.config_sources if source.schema == "file"]
    return [Path(source.path) for source in sources]


def _typed(value: Any) -> str:
    """A value as it is typed in a command."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return re.sub(r"e([+-])0", r"e\1", f"{value:g}")
    return f"[{','.join(map(_typed, value))}]" if isinstance(value, list) else str(value) or '""'


def _width() -> int:
    """The width of the terminal, between 40 columns and `WIDTH`."""
    return min(WIDTH, max(40, shutil.get_terminal_size((WIDTH, 24)).columns))
