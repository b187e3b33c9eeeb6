"""Cells through one of Hydra's own launchers, with what it can give."""

import logging
from collections.abc import Generator, Sequence

from hydra.plugins.launcher import Launcher

from scaling import results
from scaling.attempts import Ended, bury
from scaling.cells import Cell

log = logging.getLogger(__name__)


def train_all(
    todo: Sequence[Cell], launcher: Launcher
) -> Generator[tuple[Cell, Ended], None, None]:
    """Each cell with its row, when the launcher is through with all of them.

    A launcher of Hydra's composes every cell anew and says nothing until its end; one whose
    processes are killed may take the cells with it that were still to come.

    Args:
        todo: cells to train.
        launcher: that was set up by Hydra.
    """
    why = "its launcher ended without a row"
    try:
        launcher.launch([cell.overrides for cell in todo], 0)
    except Exception as error:  # joblib raises its own when a worker is killed
        why = f"its launcher ended: {type(error).__name__}: {error}"
        log.warning(why)
    for cell in todo:
        try:
            row = results.read_row(cell.folder)
        except ValueError as error:
            yield cell, error
            continue
        yield cell, bury(cell, why) if row is None else row
