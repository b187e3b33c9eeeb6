"""Train a cell under its lock, and write the row of one whose process died."""

import contextlib

from scaling.config.cell import Cell
from scaling.runs.run import TRACEBACK, row_of, run
from scaling.storage import heartbeats, locks
from scaling.storage.rows import write_row
from scaling.storage.run_state import RunState, read_state, state_of


def train(cell: Cell, *, bar: bool = False, wait: bool = False, fresh: bool = False) -> RunState:
    """Train a cell, unless it is finished, has a corrupt row, or is held by another process.

    Args:
        cell: to train.
        bar: show a progress bar.
        wait: wait for a process that holds the cell, then train it unless it is finished.
        fresh: start from the beginning, even if there is a checkpoint.

    Returns:
        how it ended; `failed` without a row if the row could not be written.
    """
    try:
        with locks.hold(cell.folder, wait=wait) as held:
            if not held:
                return RunState("held", locks.described(locks.holder(cell.folder)))
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

    A row is kept if this process wrote it (a run that has not ended still has its heartbeat), or if
    another process has finished the run since. A `failed` row is replaced, because it may be that
    of an earlier attempt.

    Args:
        cell: that was trained.
        why: reason of the failure, for the row; None if it was interrupted.
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
    """Write the row of a cell whose process was interrupted before it wrote one."""
    with contextlib.suppress(OSError):
        if heartbeats.read(cell.folder):
            record_death(cell, None)


def _unwritable(error: OSError) -> RunState:
    return RunState("failed", f"its row could not be written ({error})")
