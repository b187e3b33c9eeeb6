"""What sweep commands asked for: the cells of each, so that missing ones are known."""

import datetime
import json
import secrets
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scaling.storage.rows import SCHEMA, write_json

FOLDER = ".sweeps"


def write(study: Path, command: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """Leave the plan of a command in a study's folder.

    Args:
        study: its folder, made if missing.
        command: as it was typed.
        cells: `run`, `digest` and `overrides` of each.

    Raises:
        OSError: if the folder cannot be written to.
    """
    now = datetime.datetime.now(datetime.UTC)
    plan = {
        "schema": SCHEMA,
        "time": now.isoformat(timespec="seconds"),
        "command": command,
        "cells": list(cells),
    }
    place = study / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    write_json(plan, place / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json")


def read(folder: str | Path) -> list[dict[str, Any]]:
    """The plans of a study, or of all studies in a folder, oldest first.

    Each has its `command`, its `cells` and the `folder` of its study. A damaged plan is named in a
    warning and left out.
    """
    paths = [
        *sorted(Path(folder).glob(f"{FOLDER}/*.json")),
        *sorted(Path(folder).glob(f"*/{FOLDER}/*.json")),
    ]
    found = []
    for path in paths:
        try:
            plan = json.loads(path.read_text())
            found.append(
                {
                    "command": str(plan["command"]),
                    "cells": [dict(cell) | {"run": str(cell["run"])} for cell in plan["cells"]],
                    "folder": path.parents[1],
                }
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"{path} cannot be read ({error}); its cells are not known", stacklevel=2)
    return found


def again(command: str) -> str:
    """The command that goes on where one left off: the same, without `resume=`."""
    return shlex.join(word for word in shlex.split(command) if not word.startswith("resume="))


class Lack(NamedTuple):
    """What a command would train."""

    command: str
    cells: int  # without a finished row
    total: int  # that it asks for


def missing(plans: Iterable[Mapping[str, Any]], settled: set[tuple[Path, str]]) -> list[Lack]:
    """The commands that would train the cells without a finished row.

    A command whose cells are all among those of another one of the same study is left out.

    Args:
        plans: as `read` gives them.
        settled: study's folder and run of what no command would train: finished rows, corrupt ones.
    """
    lacking: dict[tuple[Path, str], tuple[set[str], int]] = {}
    for plan in plans:
        folder = plan["folder"].absolute()
        cells = {cell["run"] for cell in plan["cells"]}
        left = {run for run in cells if (folder, run) not in settled}
        if left:
            lacking[folder, again(plan["command"])] = (left, len(cells))
    return [
        Lack(command, len(cells), total)
        for (folder, command), (cells, total) in lacking.items()
        if not any(
            there == folder and (cells < others or (cells == others and command < other))
            for (there, other), (others, _) in lacking.items()
        )
    ]


def lines(lacking: Iterable[Lack]) -> list[str]:
    """The same in words."""
    return [f"{lack.cells} of {lack.total} cells not done: {lack.command}" for lack in lacking]
