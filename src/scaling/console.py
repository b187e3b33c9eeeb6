"""What a sweep says of itself: before it trains, cell by cell, and at its end."""

import shlex
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling import report, results, train
from scaling.attempts import Ended
from scaling.cells import Cell


def command() -> str:
    """The command that is running, as it was typed."""
    return shlex.join(["python", "-m", "scaling.train", *sys.argv[1:]])


def standing(cell: Cell) -> str:
    """The status of a cell's row, `missing` without one, or what is wrong with it."""
    try:
        row = results.read_row(cell.folder)
    except ValueError as error:
        return f"corrupt: {error}"
    return "missing" if row is None else row.status


def state(ended: Ended) -> str:
    """How a cell ended, in words that start with its status."""
    if ended is None:
        return "held by another process"
    if isinstance(ended, OSError):
        return f"failed: its row could not be written ({ended})"
    if isinstance(ended, ValueError):
        return f"corrupt: {ended}"
    return f"{ended.status}: {ended.error}" if ended.error else ended.status


def announce(outcome: Mapping[Path, str], todo: Sequence[Cell], number: int) -> None:
    """Say what a command would train, and about how long that takes."""
    chosen = {cell.folder for cell in todo}
    for folder, state in outcome.items():
        print(f"{'train' if folder in chosen else 'keep '}  {folder.name}  ({state})")
    print(f"{len(todo)} of {len(outcome)} cells would be trained, {number} at a time")
    studies = {folder.parent for folder in outcome if any(folder.parent.glob(f"*/{results.FILE}"))}
    if not studies:
        return
    rows = results.read(*studies)
    known = rows[rows["status"].isin(results.FINISHED)]
    rate = known["seconds"].sum() / max(1, known["examples"].sum())
    if todo and len(known):
        seconds = rate * sum(train.examples(cell) for cell in todo) / number
        print(f"about {duration(seconds)}, at the mean speed of {len(known)} rows of the study")


class Pace:
    """How fast a sweep goes, in training examples per second of the clock."""

    def __init__(self, todo: Sequence[Cell]):
        self.waiting = {cell.folder: train.examples(cell) for cell in todo}
        self.total, self.trained = len(todo), 0
        self.started = time.monotonic()

    def line(self, cell: Cell, ended: Ended) -> str:
        """What is said of a cell when it ends, and the time left for the others."""
        self.trained += self.waiting.pop(cell.folder)
        place = self.total - len(self.waiting)
        settings = cell.name.rsplit("-", 1)[0]
        parts = [f"[{place:{len(str(self.total))}d}/{self.total}] {settings}", state(ended)]
        if isinstance(ended, results.Row):
            if "val_loss" in ended.measured:
                parts.append(f"val_loss {ended.measured['val_loss']:.3f}")
            if "clip_percent" in ended.measured:
                parts.append(f"clipped {ended.measured['clip_percent']:.0f} %")
            parts.append(duration(ended.measured.get("seconds", 0.0)))
        if self.waiting:
            lasted = time.monotonic() - self.started
            left = sum(self.waiting.values()) * lasted / self.trained
            parts.append(f"about {duration(left)} left")
        return "  ".join(parts)


def close(outcome: Mapping[Path, str], swept: bool) -> None:
    """Print the table of a sweep or the row of a run, and each cell that is not done."""
    ended = [folder for folder, state in outcome.items() if (folder / results.FILE).exists()]
    if ended:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # corrupt rows are named below
            rows = results.read(*ended)
        print("\n" + (report.table(rows) if swept else report.line(rows)))
    undone = {folder: state for folder, state in outcome.items() if state not in results.FINISHED}
    for folder, state in undone.items():
        print(f"{folder}: {state}", file=sys.stderr)
        if (folder / train.TRACEBACK).exists() and state.startswith("failed"):
            print(f"  traceback in {folder / train.TRACEBACK}", file=sys.stderr)
    if undone:
        print(
            f"{len(undone)} of {len(outcome)} not done; to try again: {command()}", file=sys.stderr
        )
    for study in sorted({folder.parent for folder in outcome} if swept else ()):
        print(f"figures: python -m scaling.report {study}")


def duration(seconds: float) -> str:
    """A time in words: `3 min 20 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
