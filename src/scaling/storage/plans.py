"""Plans: the cells of each sweep command, so that missing ones can be listed."""

import datetime
import json
import secrets
import shlex
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scaling.contracts.words import counted
from scaling.storage.rows import ROW_FILE, SCHEMA, write_json

FOLDER = ".sweeps"


def write(study: Path, command: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the plan of a command into a study's folder.

    Args:
        study: folder of the study, made if missing.
        command: the command as typed.
        cells: `run`, `digest` and `overrides` of each cell.

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
    """Read the plans of a study, or of all studies in a folder, oldest first.

    Each has its `command`, its `cells` and the `folder` of its study. Damaged plans are reported in
    a warning and skipped.
    """
    paths = [
        *sorted(Path(folder).glob(f"{FOLDER}/*.json")),
        *sorted(Path(folder).glob(f"*/{FOLDER}/*.json")),
    ]
    plans = []
    for path in paths:
        try:
            plan = json.loads(path.read_text())
            again(str(plan["command"]))  # it may have a torn quotation
            plans.append(
                {
                    "command": str(plan["command"]),
                    "cells": [dict(cell) | {"run": str(cell["run"])} for cell in plan["cells"]],
                    "folder": path.parents[1],
                }
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"{path} cannot be read ({error}); its cells are not known", stacklevel=2)
    return plans


def typed() -> str:
    """The command that is running, as it was typed."""
    return shlex.join(["python", "-m", "scaling.train", *sys.argv[1:]])


def ran_before(study: Path) -> bool:
    """Whether the running command was typed before, and left a row of each of its cells.

    Its cells may be others by now, if its data or its experiment changed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged plans; `status` names them
        plans = read(study)
    before = [plan for plan in plans if again(plan["command"]) == again(typed())]
    return bool(before) and all(
        (study / cell["run"] / ROW_FILE).exists() for cell in before[-1]["cells"]
    )


def again(command: str) -> str:
    """The command that continues a sweep: the same without `resume=`."""
    return shlex.join(word for word in shlex.split(command) if not word.startswith("resume="))


class Lack(NamedTuple):
    """A command with cells left to train."""

    command: str
    cells: int  # cells without a finished row
    total: int  # cells of the command


def missing(plans: Iterable[Mapping[str, Any]], settled: set[tuple[Path, str]]) -> list[Lack]:
    """The commands that would train the cells without a finished row.

    A command is left out if another one of the same study would train all its cells.

    Args:
        plans: the plans, from `read`.
        settled: folder of the study and name of each run whose row is finished or corrupt, so that
            no command would train it.
    """
    unfinished: dict[tuple[Path, str], tuple[set[str], int]] = {}
    for plan in plans:
        folder = plan["folder"].absolute()
        cells = {cell["run"] for cell in plan["cells"]}
        left = {run for run in cells if (folder, run) not in settled}
        if left:
            unfinished[folder, again(plan["command"])] = (left, len(cells))
    return [
        Lack(command, len(cells), total)
        for (folder, command), (cells, total) in unfinished.items()
        if not any(
            there == folder and (cells < others or (cells == others and command < other))
            for (there, other), (others, _) in unfinished.items()
        )
    ]


def lines(lacking: Iterable[Lack]) -> list[str]:
    """One line for each command, for display."""
    return [
        f"{lack.cells} of {counted(lack.total, 'cell')} not done: {lack.command}"
        for lack in lacking
    ]
