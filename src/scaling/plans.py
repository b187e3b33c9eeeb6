"""What sweep commands asked for: the cells of each, so that missing ones are known."""

import datetime
import json
import secrets
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling import results

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
        "schema": results.SCHEMA,
        "time": now.isoformat(timespec="seconds"),
        "command": command,
        "cells": list(cells),
    }
    place = study / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    results.write_json(plan, place / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json")


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


def missing(plans: Iterable[Mapping[str, Any]], finished: set[str]) -> list[str]:
    """The commands that would train the cells without a finished row, with how many each.

    A command whose cells are all among those of another one is left out.

    Args:
        plans: as `read` gives them.
        finished: the runs that have a finished row.
    """
    lacking = {}
    for plan in plans:
        cells = {cell["run"] for cell in plan["cells"]}
        if cells - finished:
            lacking[plan["command"]] = (cells - finished, len(cells))
    return [
        f"{len(cells)} of {total} cells not done: {command}"
        for command, (cells, total) in lacking.items()
        if not any(
            cells < others or (cells == others and command < other)
            for other, (others, _) in lacking.items()
        )
    ]
