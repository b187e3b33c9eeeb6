"""Console output of a sweep: before training, for each cell, and at the end."""

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling import results
from scaling.config import identity
from scaling.config.cell import Cell
from scaling.contracts.columns import FINISHED, ROOT_KEYS
from scaling.contracts.metric import UNINFORMATIVE
from scaling.contracts.words import counted
from scaling.reporting import text
from scaling.reporting.run_caveats import caveats
from scaling.runs import run
from scaling.runs.folder import CHECKPOINT
from scaling.storage import plans
from scaling.storage.rows import ROW_FILE, Row, read_row
from scaling.storage.run_state import RunState
from scaling.sweeps.pace import Pace, duration

MOST = 10  # missing cells that are listed; more are counted


def labels(asked: Sequence[Cell]) -> dict[Path, str]:
    """Label each cell of a command by its root keys and other swept keys."""
    typed = {cell.folder: set(cell.overrides) for cell in asked}
    common = set.intersection(*typed.values())
    by_folder = {}
    for cell in asked:
        more = sorted(typed[cell.folder] - common)
        more = [word for word in more if word.partition("=")[0] not in ROOT_KEYS]
        by_folder[cell.folder] = ",".join([cell.name.rsplit("-", 1)[0], *more])
    return by_folder


def announce(
    states: Mapping[Path, RunState],
    todo: Sequence[Cell],
    at_a_time: int | None,
    labels: Mapping[Path, str],
) -> None:
    """Print what a command would train, and about how long it takes."""
    chosen = {cell.folder for cell in todo}
    for folder, state in states.items():
        digest = folder.name.rsplit("-", 1)[1]
        status = " ".join(str(state).split())  # a corrupt row may be reported in several lines
        print(f"{'train' if folder in chosen else 'keep '}  {labels[folder]}-{digest}  ({status})")
    number = f", {at_a_time} at a time" if at_a_time else ""
    print(f"{len(todo)} of {counted(len(states), 'cell')} would be trained{number}")
    studies = {folder.parent for folder in states if any(folder.parent.glob(f"*/{ROW_FILE}"))}
    if not studies:
        if todo:
            print("the duration is not known before a run of this study has ended")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # corrupt rows are named in the list
        rows = results.read(*studies)
    finished = rows[rows["status"].isin(FINISHED)]
    rate = finished["seconds"].sum() / max(1, finished["examples"].sum())
    if todo and len(finished):
        seconds = rate * sum(run.size(cell)[0] for cell in todo) / (at_a_time or 1)
        rows_ended = counted(len(finished), "row")
        print(f"about {duration(seconds)}, at the mean speed of {rows_ended} of the study")


def superseded(todo: Sequence[Cell]) -> list[str]:
    """One line for each study with cells that an earlier version finished, which train again.

    Compares settings, because the identities of such rows do not match those of cells.
    """
    lines = []
    for study in dict.fromkeys(cell.folder.parent for cell in todo):
        members = [cell for cell in todo if cell.folder.parent == study]
        old = [row.config for row in _old_rows(study)]
        digests = {
            _digest(config, fingerprint)
            for config in old for fingerprint in {cell.fingerprint for cell in members}
        }  # fmt: skip
        if again := sum(cell.digest in digests for cell in members):
            lines.append(
                f"{study}: {again} of {counted(len(members), 'cell')} to train ended in an earlier "
                "version of this program, which did not identify runs by the content of their "
                "data; they are trained again, and the old rows are kept (use another study=... "
                "to separate them)"
            )
    return lines


def _old_rows(study: Path) -> Iterator[Row]:
    """The finished rows of an earlier schema in a study; other files are not read to the end."""
    for file in study.glob(f"*/{ROW_FILE}"):
        with contextlib.suppress(OSError, ValueError):  # damaged rows are reported elsewhere
            with file.open() as beginning:
                old = '"schema": 1' in beginning.read(30)  # was its first key
            row = read_row(file.parent) if old else None
            if row and row.status in FINISHED:
                yield row


def _digest(settings: Mapping[str, Any], fingerprint: str) -> str | None:
    """The digest of old settings in this version; None if one of its keys is missing."""
    try:
        return identity.digest(identity.canonical(settings, fingerprint))
    except (KeyError, TypeError, AttributeError):
        return None


def line(cell: Cell, state: RunState, pace: Pace, labels: Mapping[Path, str]) -> str:
    """The line of a cell that ended, without the time left."""
    place = f"{pace.ended:{len(str(pace.total))}d}/{pace.total}"
    parts = [f"[{place}] {labels[cell.folder]}", str(state)]
    if state.row is not None:
        measured = state.row.measured
        if "val_loss" in measured and not measured.get(UNINFORMATIVE):
            parts.append(f"val_loss {measured['val_loss']:.3f}")
        if "clip_percent" in measured:
            parts.append(f"clipped {measured['clip_percent']:.0f} %")
        parts.append(duration(measured.get("seconds", 0.0)))
        parts += [f"warning: {caveat.kind}" for caveat in caveats(measured)]
    return "  ".join(parts)


def close(states: Mapping[Path, RunState], swept: bool) -> None:
    """Print the table of a sweep or the row of a run, and each cell that is not done."""
    ended = [folder for folder in states if (folder / ROW_FILE).exists()]
    if ended:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # corrupt rows are named below
            rows = results.read(*ended)
        print("\n" + (text.summary_table(rows) if swept else text.line(rows)))
        rounded = [] if swept else [_examples(state) for state in states.values()]
        print(*filter(None, rounded), sep="", end="")
    undone = {folder: state for folder, state in states.items() if not state.finished}
    missing = [folder for folder, state in undone.items() if state.status == "missing"]
    if len(missing) > MOST:
        print(f"{len(missing)} cells are missing", file=sys.stderr)
    for folder, state in undone.items():
        if state.status == "missing" and len(missing) > MOST:
            continue
        print(f"{folder}: {state}", file=sys.stderr)
        if (folder / run.TRACEBACK).exists() and state.status == "failed":
            print(f"  traceback in {folder / run.TRACEBACK}", file=sys.stderr)
    if again := sum(state.status != "corrupt" for state in undone.values()):
        message = f"{again} of {len(states)} not done; to try again: {plans.again(plans.typed())}"
        print(message, file=sys.stderr)
    for study in sorted({folder.parent for folder in states} if swept else ()):
        print(f"figures: python -m scaling.report {study}")


def _examples(state: RunState) -> str:
    """A line if whole steps have not the number of examples that was given, else nothing."""
    if state.row is None or state.status != "done":
        return ""
    asked, measured = state.row.config.get("examples"), state.row.measured
    if asked in (None, measured.get("examples")):
        return ""
    steps = counted(int(measured["steps"]), "step")
    return f"examples  {asked} become {steps}, with {measured['examples']:.0f} in all\n"


def stopped(states: Mapping[Path, RunState]) -> None:
    """Print what is left of a command that a signal stopped, and how to continue it."""
    counts = Counter(_left_as(folder, state) for folder, state in states.items())
    if set(counts) == {"not started"}:
        print("stopped before any run started", file=sys.stderr)
        return
    parts = [f"{counts.pop('done', 0)} of {counted(len(states), 'cell')} done"]
    if counts["kept as checkpoints"] == 1:
        counts["kept as a checkpoint"] = counts.pop("kept as checkpoints")
    parts += [f"{number} {left}" for left, number in sorted(counts.items()) if number]
    print("stopped:", ", ".join(parts), file=sys.stderr)
    print(f"to continue: {plans.again(plans.typed())}", file=sys.stderr)


def _left_as(folder: Path, state: RunState) -> str:
    """The state of a cell after a signal stopped its command."""
    if state.finished or state.status in ("corrupt", "failed"):
        return "done" if state.finished else state.status
    if (folder / CHECKPOINT).exists():
        return "kept as checkpoints"
    if state.status == "held":
        return "held by other processes"
    if state.status == "interrupted":
        return "interrupted before a checkpoint (to start again)"
    return "not started"
