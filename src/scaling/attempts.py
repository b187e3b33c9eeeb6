"""One attempt at a cell: under its lock, with whatever is left when its process dies."""

from scaling import beats, locks, results
from scaling.cells import Cell
from scaling.train import TRACEBACK, row_of, run

# A row; why it could not be read or written; or None where another process holds the cell.
Ended = results.Row | OSError | ValueError | None


def train(cell: Cell, *, bar: bool = False, wait: bool = False, fresh: bool = False) -> Ended:
    """The row of a cell, unless another process holds it or the row cannot be written.

    A cell that another process has finished by now is not trained again.

    Args:
        cell: to train.
        bar: show a progress bar.
        wait: for a process that holds the cell, and then see what it has left to do.
        fresh: start anew in any case.
    """
    with locks.hold(cell.folder, wait=wait) as held:
        if not held:
            return None
        try:
            row = results.read_row(cell.folder)
            if row is not None and row.status in results.FINISHED and not fresh:
                return row
            return run(cell, bar=bar, fresh=fresh)
        except (OSError, ValueError) as error:
            return error


def fresh(cell: Cell) -> bool:
    """Whether a cell starts anew, whatever it left earlier."""
    return bool(cell.config["resume"] == "all")


def bury(cell: Cell, why: str) -> Ended:
    """The row of a cell whose process ended without one, written here in its place.

    Args:
        cell: that was trained.
        why: it failed, for its row.
    """
    row = row_of(cell, status="failed", error=why)
    with locks.hold(cell.folder) as held:
        if not held:
            return None
        try:
            (cell.folder / TRACEBACK).write_text(f"{why}\n")
            results.write(row, cell.folder)
        except OSError as error:
            return error
        beats.end(cell.folder)
    return row


def give_up(cell: Cell) -> None:
    """Write the row of a cell whose process was interrupted, and ended before it wrote one."""
    with locks.hold(cell.folder) as held:
        if held and beats.read(cell.folder):
            results.write(row_of(cell, status="interrupted"), cell.folder)
            beats.end(cell.folder)
