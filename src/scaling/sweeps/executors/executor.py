"""What an executor is: the way in which the cells of a command are trained."""

from collections.abc import Generator, Sequence
from typing import Protocol, runtime_checkable

from scaling.config.cell import Cell
from scaling.storage.run_state import RunState


@runtime_checkable
class Executor(Protocol):
    """Trains cells, in this process or in others.

    A launcher of ours (`OffersExecutor`) gives one to a sweep.
    """

    @property
    def at_a_time(self) -> int | None:
        """How many cells train at a time; None where only a launcher knows."""

    @property
    def reports(self) -> bool:
        """Whether cells come as they end, so that a line can be printed for each."""

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        """Yield each cell with its state as it ends.

        Closing the generator early interrupts the cells that are being trained; they write rows.

        Args:
            cells: to train.
            wait: for other processes that hold a cell, and then train what they left undone.
        """


@runtime_checkable
class OffersExecutor(Protocol):
    """A launcher of Hydra's that trains cells which are checked already."""

    def executor(self, workers: int | None, cells: int) -> Executor:
        """Give the executor of a sweep.

        Args:
            workers: the root key of that name.
            cells: that the command asks for, finished or not.
        """
