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
from scaling.storage import locks, owners
from scaling.storage.rows import ROW_FILE, SCHEMA, write_json

FOLDER = ".sweeps"


def write(study: Path, command: str, cells: Sequence[Mapping[str, Any]]) -> Path:
    """Write the plan of this process's command into a study's folder; return its file.

    Args:
        study: folder of the study, made if missing.
        command: the command as typed.
        cells: `run`, `digest` and `overrides` of each cell, and whether it is to `train`.

    Raises:
        OSError: if the folder cannot be written to.
    """
    now = datetime.datetime.now(datetime.UTC)
    plan = {
        "schema": SCHEMA,
        "time": now.isoformat(timespec="seconds"),
        "command": command,
        "owner": locks.this_process(),
        "cells": list(cells),
    }
    place = study / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json"
    write_json(plan, path)
    return path


def read(folder: str | Path) -> list[dict[str, Any]]:
    """Read the plans of a study, or of all studies in a folder, oldest first.

    Each has its `command`, its `cells` and the `folder` of its study; its `owner`, an `Owner` if
    the command is alive, else None; and the runs that it is `waiting` to train, if it is. Damaged
    plans are reported in a warning and skipped.
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
            owner = owners.owner(path, plan)
            plans.append(
                {
                    "command": str(plan["command"]),
                    "cells": [dict(cell) | {"run": str(cell["run"])} for cell in plan["cells"]],
                    "folder": path.parents[1],
                    "owner": owner,
                    "waiting": owners.waiting(path, plan) if owner else set(),
                }
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"{path} cannot be read ({error}); its cells are not known", stacklevel=2)
    return plans


def remember(spelled: Sequence[str], words: Sequence[str]) -> None:
    """Remember the words of the running command as typed; Hydra gets them in another spelling."""
    _typed[tuple(spelled)] = tuple(words)


def typed() -> str:
    """The command that is running, as it was typed."""
    words = _typed.get(tuple(sys.argv[1:]), sys.argv[1:])
    return shlex.join(["python", "-m", "scaling.train", *words])


_typed: dict[tuple[str, ...], tuple[str, ...]] = {}


def ran_before(study: Path) -> bool:
    """Whether the running command was run before, and each of its cells has a row.

    Its cells may have changed since, with its data or its experiment.
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
    owner: owners.Owner | None = None  # of a command that is alive

    def line(self) -> str:
        """A line for display."""
        total = counted(self.total, "cell")
        if self.owner:
            return f"running ({self.owner}), {self.cells} of {total} left: {self.command}"
        return f"{self.cells} of {total} not done: {self.command}"


def missing(plans: Sequence[Mapping[str, Any]], settled: set[tuple[Path, str]]) -> list[Lack]:
    """The commands that train the cells without a finished row, or would train them.

    Commands that are alive come first. Another command is left out if they, or another one of the
    same study, would train all its cells. Cells that a live command leaves out, as with
    `resume=failed`, are not done.

    Args:
        plans: the plans, from `read`.
        settled: folder of the study and name of each run whose row is finished or corrupt, so that
            no command would train it.
    """
    unfinished: dict[tuple[Path, str], tuple[set[str], int]] = {}
    alive = [plan for plan in plans if plan["owner"]]
    taken = {
        (plan["folder"].absolute(), cell["run"])
        for plan in alive for cell in plan["cells"] if cell.get("train")
    }  # fmt: skip
    for plan in plans:
        folder = plan["folder"].absolute()
        cells = {cell["run"] for cell in plan["cells"]}
        left = {run for run in cells if (folder, run) not in settled | taken}
        if left:
            unfinished[folder, again(plan["command"])] = (left, len(cells))
    return [
        *(Lack(p["command"], len(p["waiting"]), len(p["cells"]), p["owner"]) for p in alive)
    ] + [
        Lack(command, len(cells), total)
        for (folder, command), (cells, total) in unfinished.items()
        if not any(
            there == folder and (cells < others or (cells == others and command < other))
            for (there, other), (others, _) in unfinished.items()
        )
    ]


def lines(lacking: Iterable[Lack]) -> list[str]:
    """One line for each command, for display."""
    return [lack.line() for lack in lacking]
