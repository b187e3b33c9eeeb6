"""The state of the cells of a sweep: done, running, failed or missing."""

import dataclasses
import json
import socket
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scaling.contracts.columns import FINISHED, ROOT_KEYS
from scaling.contracts.run_name import Point, point
from scaling.contracts.settings import elsewhere
from scaling.contracts.words import counted
from scaling.storage import heartbeats, locks, plans, study_folders
from scaling.storage.rows import ROW_FILE, strict
from scaling.storage.run_state import read_state

# State -> its mark in the grid, in the order of display.
MARKS = {
    "done": "#",
    "diverged": "~",
    "running": ">",
    "silent": "z",
    "waiting": "-",
    "stale": "?",
    "interrupted": "/",
    "failed": "x",
    "corrupt": "!",
    "missing": ".",
}
MEANING = {
    "silent": "held by a process without a heartbeat for 2 minutes",
    "stale": "begun, but no process trains them; the command resumes them from their checkpoints",
}
BEFORE_WAITING = ("missing", "stale", "interrupted", "failed")  # states of cells not begun again


@dataclass(frozen=True, kw_only=True)
class CellProgress:
    """A point of a sweep and its progress; None for unknown values."""

    study: str  # its folder
    run: str
    state: str  # one of MARKS
    settings: tuple[str, ...] = ()  # typed, without batch, lr, clip and seed
    val_loss: float | None = None
    error: str | None = None
    step: int | None = None
    steps: int | None = None
    speed: float | None = None  # optimizer steps per second
    host: str | None = None
    pid: int | None = None
    beat: float | None = None  # seconds since its last heartbeat

    @property
    def place(self) -> Path:
        """The absolute path of its folder."""
        return Path(self.study, self.run).absolute()

    @property
    def point(self) -> Point:
        """Batch, lr, clip and seed, from the run's name."""
        named = point(self.run)
        assert named is not None
        return named


def cells(folder: str | Path) -> list[CellProgress]:
    """Every cell that was planned or begun in a study, or in all studies in a folder.

    Raises:
        FileNotFoundError: if the folder does not exist, or has no sweep.
    """
    folder = Path(folder)
    if point(folder.absolute().name):
        raise FileNotFoundError(f"{folder} is one run; give its study, {folder.absolute().parent}")
    if not folder.exists():
        raise FileNotFoundError(study_folders.unknown(folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; sweeps are in multirun/<study>")
    points = list(_study(folder))
    if not points:
        for study in sorted(path for path in folder.iterdir() if path.is_dir()):
            points += _study(study)
    if not points:
        raise FileNotFoundError(
            f"{folder} is not a sweep: it has no runs and no plans; give multirun/<study>"
        )
    return points


def _study(folder: Path) -> Iterator[CellProgress]:
    """The cells of one study: those of all its plans, and runs without a plan."""
    commands = [plan for plan in plans.read(folder) if plan["folder"] == folder]
    planned = {
        cell["run"]: cell.get("overrides", ())
        for plan in commands
        for cell in plan["cells"]
        if point(cell["run"])
    }
    waiting = {run for plan in commands for run in plan["waiting"]}
    begun = {path.name for path in folder.iterdir() if point(path.name)}
    for run in sorted(planned.keys() | begun):
        place = folder / run
        typed = planned.get(run) or _typed(place)
        keys = {override: override.partition("=")[0] for override in typed}
        kept = tuple(
            sorted(o for o, key in keys.items() if key not in _SHOWN_BY_NAME and not elsewhere(key))
        )
        cell = dataclasses.replace(_cell(place, run in begun), settings=kept)
        if run in waiting and cell.state in BEFORE_WAITING:
            cell = CellProgress(study=cell.study, run=run, state="waiting", settings=kept)
        yield cell


_SHOWN_BY_NAME = (*ROOT_KEYS, "experiment", "scale")


def _cell(place: Path, begun: bool) -> CellProgress:
    """The progress of one cell."""
    name: dict[str, Any] = {"study": str(place.parent), "run": place.name}
    if not begun:
        return CellProgress(**name, state="missing")
    beat, held = heartbeats.read(place), False
    if beat is not None and not (held := locks.is_held(place)):
        beat = heartbeats.read(place)  # it may have ended since
    row_file = place / ROW_FILE
    if beat is not None and (held or not row_file.exists() or heartbeats.outlived(place, row_file)):
        holder, age = locks.holder(place), time.time() - beat.time
        remote = holder.get("host") not in (None, socket.gethostname())
        state = "stale"
        if held or (remote and age < heartbeats.SILENT):  # locks of other hosts may not be visible
            state = "running" if age < heartbeats.SILENT else "silent"
        return CellProgress(
            **name,
            state=state,
            step=beat.step,
            steps=beat.steps,
            speed=beat.speed,
            host=holder.get("host"),
            pid=holder.get("pid"),
            beat=max(0.0, age),
        )
    ended = read_state(place)
    if ended.row is None:
        return CellProgress(**name, state=ended.status, error=ended.message or None)
    row = ended.row
    return CellProgress(
        **name, state=row.status, error=row.error, val_loss=row.measured.get("val_loss")
    )


def _typed(place: Path) -> list[str]:
    """The overrides of a run without a plan."""
    try:
        typed = yaml.safe_load((place / ".hydra" / "overrides.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return []
    return [str(override) for override in typed] if isinstance(typed, list) else []


def text(found: Sequence[CellProgress], commands: Sequence[str] = ()) -> str:
    """Counts, a grid with a mark for each cell, and the cells that may need attention.

    Args:
        found: from `cells`.
        commands: that train cells, or would train missing ones.
    """
    parts = []
    for study in dict.fromkeys(cell.study for cell in found):
        members = [cell for cell in found if cell.study == study]
        counts = Counter(cell.state for cell in members)
        states = ", ".join(f"{counts[state]} {state}" for state in MARKS if counts[state])
        parts += [f"{study}: {counted(len(members), 'cell')}, {states}", *_grids(members)]
        seeds = sorted({cell.point.seed for cell in members})
        if len(seeds) > 1:
            parts.append(f"a mark for each seed, in the order {', '.join(map(str, seeds))}")
    marks = [f"{mark} {state}" for state, mark in MARKS.items() if _among(found, state)]
    parts.append("  ".join(marks))
    for state in ("running", *MEANING, "failed", "corrupt"):
        members = _among(found, state)
        if members:
            meaning = f" ({MEANING[state]})" if state in MEANING else ""
            lines = [f"{state}{meaning}:", *(f"  {_line(cell)}" for cell in members)]
            parts.append("\n".join(lines))
    return "\n\n".join([*parts, *commands])


def _among(found: Sequence[CellProgress], state: str) -> list[CellProgress]:
    return [cell for cell in found if cell.state == state]


def _grids(members: Sequence[CellProgress]) -> list[str]:
    """A grid of batch by lr for each clip and each other setting that differs."""
    common = set.intersection(*(set(cell.settings) for cell in members))
    blocks: dict[str, list[CellProgress]] = {}
    several = len({cell.point.clip for cell in members}) > 1
    for cell in sorted(members, key=lambda cell: (cell.settings, cell.point.clip)):
        title = [setting for setting in cell.settings if setting not in common]
        title += [f"clip={cell.point.clip:g}"] if several else []
        blocks.setdefault(", ".join(title), []).append(cell)
    return ["\n".join([*([f"{title}:"] if title else []), _grid(b)]) for title, b in blocks.items()]


def _grid(block: Sequence[CellProgress]) -> str:
    """A row per batch, a column per lr, and a mark for each seed in the order of seeds."""
    marks: dict[tuple[int, float], str] = {}
    for cell in sorted(block, key=lambda cell: cell.point):
        batch, lr, _, _ = cell.point
        marks[batch, lr] = marks.get((batch, lr), "") + MARKS[cell.state]
    lrs = sorted({lr for _, lr in marks})
    lines = [["batch", *(f"lr {lr:g}" for lr in lrs)]]
    for batch in sorted({batch for batch, _ in marks}):
        lines.append([str(batch), *(marks.get((batch, lr), "") for lr in lrs)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(entry.rjust(width) for entry, width in zip(line, widths, strict=True))
        for line in lines
    )


def _line(cell: CellProgress) -> str:
    """The line of a cell that may need attention."""
    if cell.state in ("failed", "corrupt"):
        return f"{cell.run}: {' '.join(str(cell.error).split())}"
    parts = [cell.run, f"step {cell.step} of {cell.steps}" if cell.steps else "preparing"]
    if cell.speed and cell.steps is not None and cell.step is not None:
        parts.append(f"{cell.speed:.3g} steps/s")
        if cell.state == "running":
            parts.append(f"about {(cell.steps - cell.step) / cell.speed:.0f} s left")
    parts.append(f"pid {cell.pid} on {cell.host}, {cell.beat:.0f} s ago")
    return "  ".join(parts)


def look(folders: Sequence[Path], *, as_json: bool) -> tuple[list[CellProgress], str]:
    """The cells of folders, and the text or JSON about them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        points = list({cell.place: cell for f in folders for cell in cells(f)}.values())
        planned = [plan for folder in folders for plan in plans.read(folder)]
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(message, file=sys.stderr)
    settled = {
        (cell.place.parent, cell.run) for cell in points if cell.state in (*FINISHED, "corrupt")
    }
    lacking = plans.missing(planned, settled)
    if not as_json:
        return points, text(points, plans.lines(lacking))
    record = {
        "counts": Counter(cell.state for cell in points),
        "cells": [cell.point._asdict() | dataclasses.asdict(cell) for cell in points],
        "running": [
            {**lack._asdict(), "owner": dataclasses.asdict(lack.owner)}
            for lack in lacking
            if lack.owner
        ],
        "not_done": [
            {"command": lack.command, "cells": lack.cells, "total": lack.total}
            for lack in lacking
            if not lack.owner
        ],
    }
    return points, json.dumps(strict(record), indent=1, allow_nan=False)
