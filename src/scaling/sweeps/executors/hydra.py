"""Cells through one of Hydra's own launchers, with what it can give."""

import logging
import time
from collections.abc import Generator, Sequence

from hydra.plugins.launcher import Launcher

from scaling.config.cell import Cell
from scaling.runs.lifecycle import Ended, bury
from scaling.storage import heartbeats
from scaling.storage.rows import ROW_FILE, read_row

log = logging.getLogger(__name__)


def train_all(
    todo: Sequence[Cell], *, launcher: Launcher, wait: bool
) -> Generator[tuple[Cell, Ended], None, None]:
    """Each cell that was begun with its row, when the launcher is through with all of them.

    A launcher of Hydra's composes every cell anew and says nothing until its end; one whose
    processes are killed may take the cells with it that were still to come.

    Args:
        todo: cells to train.
        launcher: that was set up by Hydra.
        wait: has no meaning for it: nothing is yielded.
    """
    if wait:
        return
    why, began = "its launcher ended without a row", time.time()
    try:
        launcher.launch([cell.overrides for cell in todo], 0)
    except Exception as error:  # joblib raises its own when a worker is killed
        why = f"its launcher ended: {type(error).__name__}: {error}"
        log.warning(why)
    for cell in todo:
        file = cell.folder / ROW_FILE
        try:
            row = read_row(cell.folder)
        except ValueError as error:
            yield cell, error
            continue
        if heartbeats.read(cell.folder):
            yield cell, bury(cell, why)
        elif row is not None and file.stat().st_mtime >= began - 1:
            yield cell, row
