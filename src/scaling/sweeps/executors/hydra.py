"""Train cells with one of Hydra's own launchers."""

import logging
import time
from collections.abc import Generator, Sequence

from hydra.plugins.launcher import Launcher

from scaling.config.cell import Cell
from scaling.runs.lifecycle import record_death
from scaling.storage import heartbeats
from scaling.storage.rows import ROW_FILE
from scaling.storage.run_state import RunState, read_state

log = logging.getLogger(__name__)


class HydraLauncher:
    """Train cells with one of Hydra's launchers, which composes each of them again.

    It reports nothing until all have ended. If its processes are killed, the remaining cells may
    not be trained.

    Args:
        launcher: set up by Hydra.
    """

    at_a_time = None
    reports = False

    def __init__(self, launcher: Launcher):
        self.launcher = launcher

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        """Yield each cell that was begun, after the launcher has ended.

        Yields nothing with `wait`, which such launchers cannot do.
        """
        if wait:
            return
        why, began = "its launcher ended without a row", time.time()
        try:
            self.launcher.launch([cell.overrides for cell in cells], 0)
        except Exception as error:  # joblib raises its own when a worker is killed
            why = f"its launcher ended: {type(error).__name__}: {error}"
            log.warning(why)
        for cell in cells:
            state, file = read_state(cell.folder), cell.folder / ROW_FILE
            if state.status != "corrupt" and heartbeats.read(cell.folder):
                yield cell, record_death(cell, why)
            elif state.status == "corrupt" or (
                state.row is not None and file.stat().st_mtime >= began - 1
            ):
                yield cell, state
