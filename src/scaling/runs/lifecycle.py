"""Train a cell under its lock, and write the row of one whose process died."""

import contextlib

from scaling.config.cell import Cell
from scaling.runs.run import TRACEBACK, row_of, run
from scaling.storage import heartbeats, locks
from scaling.storage.rows import write_row
from scaling.storage.run_state import RunState, read_state, state_of


def train(cell: Cell, *, bar: bool = False, wait: bool = False, fresh: bool = False) -> RunState:
    """Train a cell, unless it is finished by now, has a corrupt row, or another process holds it.

    Args:
        cell: to train.
        bar: show a progress bar.
        wait: for a process that holds the cell, and then see what is left to do.
        fresh: start from the beginning in any case.

    Returns:
        how it ended; `failed` without a row if that could not be written.
    """
    try:
        with locks.hold(cell.folder, wait=wait) as held:
            if not held:
                return RunState("held")
            state = read_state(cell.folder)
            if state.status == "corrupt" or (state.finished and not fresh):
                return state
            return state_of(run(cell, bar=bar, fresh=fresh))
    except OSError as error:
        return _unwritable(error)


def starts_fresh(cell: Cell) -> bool:
    """Whether a cell starts from the beginning, even if it has a checkpoint."""
    return bool(cell.config["resume"] == "all")


def record_death(cell: Cell, why: str | None) -> RunState:
    """Write a failed or interrupted row for a process that died before it wrote one.

    A row that it did write, or a finished one that another process has written since, stays: a run
    that has begun and not ended still has its heartbeat.

    Args:
        cell: that was trained.
        why: it failed, for its row; None if it was interrupted.
    """
    try:
        with locks.hold(cell.folder) as held:
            if not held:
                return RunState("held")
            state = read_state(cell.folder)
            if state.status == "corrupt":
                return state
            ended = state.row is not None and not heartbeats.read(cell.folder)
            if not state.finished and not (ended and state.status != "failed"):
                row = row_of(cell, {}, status="failed" if why else "interrupted", error=why)
                if why:
                    (cell.folder / TRACEBACK).write_text(f"{why}\n")
                write_row(row, cell.folder)
                state = state_of(row)
            heartbeats.end(cell.folder)
            return state
    except OSError as error:
        return _unwritable(error)


def record_interrupted(cell: Cell) -> None:
    """Write the row of a cell whose process was interrupted, and ended before it wrote one."""
    with contextlib.suppress(OSError):
        if heartbeats.read(cell.folder):
            record_death(cell, None)


def _unwritable(error: OSError) -> RunState:
    return RunState("failed", f"its row could not be written ({error})")
