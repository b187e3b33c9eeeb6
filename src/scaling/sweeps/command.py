"""The command line of `python -m scaling.train`: what was typed, checked, as cells."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from scaling.config import checks
from scaling.config.cell import make_cell
from scaling.config.errors import REFUSED, message
from scaling.config.folder import FOLDER
from scaling.config.grid import Grid, expand
from scaling.runs import signals
from scaling.runs.signals import Interrupted

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACK_WANTED = os.environ.get(FULL_ERROR) == "1"


def main() -> None:
    """The command line of `python -m scaling.train`; leaves with the exit code of the command."""
    signals.listen()
    if {"-h", "--help"} & set(sys.argv):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads the help may leave early
    logging.raiseExceptions = False  # who reads the lines may leave early
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, where it would leave with 1 by itself
    with _refusals():
        _check_typed(sys.argv[1:])
        _single()
    sys.exit(0)


@hydra.main(version_base="1.3", config_path=str(FOLDER), config_name="config")
def _single(composed: DictConfig) -> None:
    """What Hydra calls for a single run; a sweep arrives in `multirun` instead."""
    from scaling.sweeps import sweep  # imports torch, which --help need not wait for

    with _refusals():
        full = HydraConfig.get()
        _check_mode(full)
        cell = make_cell(composed, full.overrides.task, full.runtime.choices)
        alone = full.mode != RunMode.MULTIRUN
        code = sweep.train_cells([cell], launcher=None, alone=alone)
    if alone:
        sys.exit(code)
    if code > 128:  # else a sweeper or a launcher of Hydra's own goes on with the next
        raise Interrupted(code - 128)


def _check_typed(words: Sequence[str]) -> None:
    """Stop before Hydra makes the folders that are typed, which nothing would be written to."""
    keys = tuple(f"hydra.{path}" for path in checks.UNUSED)
    typed = [word for word in (word.lstrip("+") for word in words) if word.startswith(keys)]
    node: Any = OmegaConf.to_container(OmegaConf.from_dotlist(typed))
    checks.check_hydra(node.get("hydra", {}))


def _check_mode(full: Any) -> None:
    """Stop a command that would silently ignore what it sets: the grid of a single run, folders."""
    checks.check_hydra(OmegaConf.to_container(full, resolve=False))  # type: ignore[arg-type]
    grid = [key for key in ("params", "pairs", "exclude") if full.sweeper.get(key)]
    if full.mode == RunMode.RUN and grid:
        raise ValueError(
            f"hydra.sweeper.{grid[0]} is a grid, and this is a single run; add -m, or "
            "`hydra: {mode: MULTIRUN}` to the experiment"
        )


def multirun(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    grid: Mapping[str, Any],
    launcher: Launcher,
) -> None:
    """What Hydra's sweeper calls for a grid; see `scaling.config.grid`."""
    from scaling.sweeps import sweep

    checks.check_hydra(OmegaConf.to_container(master.hydra, resolve=False))  # type: ignore[arg-type]
    asked = expand(loader, master, arguments, Grid(**grid))
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
