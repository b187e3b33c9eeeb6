"""The protocol of executors, which train the cells of a command."""

from collections.abc import Generator, Sequence
from typing import Protocol, runtime_checkable

from scaling.config.cell import Cell
from scaling.storage.run_state import RunState


@runtime_checkable
class Executor(Protocol):
    """Trains cells, in this process or in others.

    Launchers of this package (`OffersExecutor`) return one.
    """

    @property
    def at_a_time(self) -> int | None:
        """Number of cells trained at a time; None if only the launcher knows."""

    @property
    def reports(self) -> bool:
        """Whether each cell is yielded when it ends, so that a line can be printed for it."""

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        """Yield each cell with its state as it ends.

        Closing the generator early interrupts the running cells, which then write rows.

        Args:
            cells: to train.
            wait: wait for other processes that hold a cell, then train it if it is not done.
        """


@runtime_checkable
class OffersExecutor(Protocol):
    """A Hydra launcher that trains cells that were already checked."""

    def prepare(self, workers: int | None) -> None:
        """Start what takes a while, before this process imports torch itself."""

    def executor(self, workers: int | None, cells: int) -> Executor:
        """Return the executor of a sweep.

        Args:
            workers: the root key of that name.
            cells: number of cells of the command, finished or not.
        """
