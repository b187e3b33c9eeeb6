"""One attempt at a cell: under its lock, with whatever is left when its process dies."""

import contextlib

from scaling.config.cell import Cell
from scaling.contracts.columns import FINISHED
from scaling.runs.run import TRACEBACK, row_of, run
from scaling.storage import heartbeats, locks
from scaling.storage.rows import ROW_FILE, Row, read_row, write_row

# A row; why it could not be read or written; or None where another process holds the cell.
Ended = Row | OSError | ValueError | None


def train(cell: Cell, *, bar: bool = False, wait: bool = False, fresh: bool = False) -> Ended:
    """The row of a cell, unless another process holds it or the row cannot be written.

    A cell that another process has finished by now is not trained again.

    Args:
        cell: to train.
        bar: show a progress bar.
        wait: for a process that holds the cell, and then see what it has left to do.
        fresh: start anew in any case.
    """
    try:
        with locks.hold(cell.folder, wait=wait) as held:
            if not held:
                return None
            row = finished(cell)
            return row if row and not fresh else run(cell, bar=bar, fresh=fresh)
    except (OSError, ValueError) as error:
        return error


def finished(cell: Cell) -> Row | None:
    """The row of a cell if it is done or diverged, and was not begun anew after that.

    Raises:
        ValueError: if the row is damaged.
    """
    row = read_row(cell.folder)
    if row is None or row.status not in FINISHED:
        return None
    if heartbeats.outlived(cell.folder, cell.folder / ROW_FILE):
        return None
    return row


def anew(cell: Cell) -> bool:
    """Whether a cell is to start anew, whatever it left earlier."""
    return bool(cell.config["resume"] == "all")


def bury(cell: Cell, why: str | None) -> Ended:
    """The row of a cell whose process ended without one, written here in its place.

    A row that it did write, or a finished one that somebody else has written since, stays: a run
    that has begun and not ended still has its heartbeat.

    Args:
        cell: that was trained.
        why: it failed, for its row; None if it was interrupted.
    """
    try:
        with locks.hold(cell.folder) as held:
            if not held:
                return None
            row = read_row(cell.folder)
            wrote = row is not None and row.status != "failed" and not heartbeats.read(cell.folder)
            if wrote or finished(cell):
                heartbeats.end(cell.folder)
                return row
            row = row_of(cell, {}, status="failed" if why else "interrupted", error=why)
            if why:
                (cell.folder / TRACEBACK).write_text(f"{why}\n")
            write_row(row, cell.folder)
            heartbeats.end(cell.folder)
            return row
    except (OSError, ValueError) as error:
        return error


def give_up(cell: Cell) -> None:
    """Write the row of a cell whose process was interrupted, and ended before it wrote one."""
    with contextlib.suppress(OSError):
        if heartbeats.read(cell.folder):
            bury(cell, None)
