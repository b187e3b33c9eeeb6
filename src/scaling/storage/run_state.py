"""The state of a run: how it ended, or why it has no row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaling.contracts.columns import FINISHED, Status
from scaling.storage import heartbeats
from scaling.storage.rows import ROW_FILE, Row, read_row


@dataclass(frozen=True)
class RunState:
    """The state of a run: status of its row, `missing` without one, or `held` by another process.

    A corrupt row is never overwritten.
    """

    status: Status | Literal["missing", "held"]
    message: str = ""  # the first line of its error, or what is wrong with its row
    row: Row | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.status in FINISHED

    def __str__(self) -> str:
        status = "held by another process" if self.status == "held" else self.status
        return f"{status}: {self.message}" if self.message else status


def state_of(row: Row) -> RunState:
    """Return the state of a run from its row."""
    lines = (row.error or "").strip().splitlines()
    return RunState(row.status, lines[0] if lines else "", row)


def read_state(folder: Path) -> RunState:
    """Return the state of a run from its folder.

    A run that was started again after its row was written, and then killed, is `interrupted`.
    """
    try:
        row = read_row(folder)
    except ValueError as error:
        return RunState("corrupt", str(error))
    if row is None:
        return RunState("missing")
    if heartbeats.outlived(folder, folder / ROW_FILE):
        return RunState("interrupted")
    return state_of(row)
