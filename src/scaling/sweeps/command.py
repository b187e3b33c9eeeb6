"""The command line of `python -m scaling.train`, which is checked and turned into cells."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from scaling.config import checks, key_help, typed
from scaling.config.cell import make_cell
from scaling.config.errors import REFUSED, message
from scaling.config.folder import FOLDER
from scaling.config.grid import Grid, expand
from scaling.contracts import ctrl_c
from scaling.runs import signals
from scaling.runs.signals import Interrupted
from scaling.storage import plans
from scaling.sweeps.executors.executor import OffersExecutor

log = logging.getLogger(__name__)

FULL_ERROR = "HYDRA_FULL_ERROR"
HELP = {"-h", "--help"}
PRINTING = {*HELP, "--hydra-help", "-c", "--cfg", "-i", "--info"}  # and training nothing
TRACEBACK_WANTED = os.environ.get(FULL_ERROR) == "1"
IMPORTS = 5  # time to import torch, Lightning and the data, as a multiple of that before it


def main() -> None:
    """Run the command line of `python -m scaling.train` and exit with its exit code."""
    signals.quit_before_runs()
    if PRINTING & set(sys.argv):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may end first
    logging.raiseExceptions = False  # for the same reason
    os.environ[FULL_ERROR] = "1"  # let Hydra raise instead of exiting with 1
    key_help.register()
    try:
        with _refusals():
            sys.argv[1:] = typed.spelled(sys.argv[1:])
            if HELP & set(sys.argv):
                sys.argv[1:] = typed.without_grids(sys.argv[1:])
            _check_typed(sys.argv[1:])
            _single()
        sys.exit(0)
    finally:
        for number in ctrl_c.not_ignored(*signals.NUMBERS):
            signal.signal(number, signal.SIG_DFL)  # no traceback while Python ends


@hydra.main(version_base="1.3", config_path=str(FOLDER), config_name="config")
def _single(composed: DictConfig) -> None:
    """Train a single run; Hydra calls `multirun` for a sweep."""
    from scaling.sweeps import sweep  # imported here to keep --help quick

    with _refusals():
        full = HydraConfig.get()
        _check_mode(full)
        cell = make_cell(composed, full.overrides.task, full.runtime.choices)
        alone = full.mode != RunMode.MULTIRUN
        code = sweep.train_cells([cell], launcher=None, alone=alone)
    if alone:
        sys.exit(code)
    if code > 128:  # else Hydra's own sweeper or launcher continues with the next
        raise Interrupted(code - 128)


def _check_typed(words: Sequence[str]) -> None:
    """Refuse typed folders before Hydra creates them, because nothing would be written there."""
    keys = tuple(f"hydra.{path}" for path in checks.UNUSED)
    typed = [word for word in (word.lstrip("+") for word in words) if word.startswith(keys)]
    node: Any = OmegaConf.to_container(OmegaConf.from_dotlist(typed))
    checks.check_hydra(node.get("hydra", {}))


def _check_mode(full: Any) -> None:
    """Refuse a command with keys that have no effect: folders, or the grid of a single run."""
    checks.check_hydra(OmegaConf.to_container(full, resolve=False))  # type: ignore[arg-type]
    grid = [key for key in ("params", "pairs", "exclude") if full.sweeper.get(key)]
    if full.mode == RunMode.RUN and grid:
        raise ValueError(
            f"hydra.sweeper.{grid[0]} is a grid, but this is a single run; add -m, or "
            "`hydra: {mode: MULTIRUN}` to the experiment"
        )


def multirun(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    grid: Mapping[str, Any],
    launcher: Launcher,
) -> None:
    """Train a grid; called by Hydra's sweeper, see `scaling.config.grid`."""
    checks.check_hydra(OmegaConf.to_container(master.hydra, resolve=False))  # type: ignore[arg-type]
    done = plans.ran_before(Path("multirun", master.study))  # likely; what is left trains anyway
    if isinstance(launcher, OffersExecutor) and not (done or master.dry_run):
        launcher.prepare(master.workers)
        if "torch" not in sys.modules:
            log.info("starting workers (imports, about %.0f s)", IMPORTS * time.process_time())
    asked = expand(loader, master, arguments, Grid(**grid))
    from scaling.sweeps import sweep  # imports torch and Lightning

    sys.exit(sweep.train_cells(asked, launcher=launcher))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refused request into one message and exit code 2."""
    try:
        yield
    except Interrupted as error:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + error.signal)
    except REFUSED as error:
        if TRACEBACK_WANTED:
            raise
        print(f"error: {message(error)}", file=sys.stderr)
        sys.exit(2)
