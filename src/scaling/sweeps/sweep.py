"""A sweep: select the cells of a command to train, train them, and report how each ended."""

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hydra.plugins.launcher import Launcher

from scaling.config import schema
from scaling.config.cell import Cell
from scaling.config.errors import REFUSED
from scaling.contracts.words import counted
from scaling.runs import run, signals
from scaling.runs.signals import Interrupted
from scaling.storage import locks, plans
from scaling.storage.run_state import RunState, read_state
from scaling.sweeps import console, live
from scaling.sweeps.executors.executor import Executor, OffersExecutor
from scaling.sweeps.executors.hydra import HydraLauncher
from scaling.sweeps.executors.pool import InProcess
from scaling.sweeps.live import View
from scaling.sweeps.pace import Pace, Size

log = logging.getLogger(__name__)


def train_cells(asked: Sequence[Cell], *, launcher: Launcher | None, alone: bool = False) -> int:
    """Train the cells of a command that are not finished, and print how each ended.

    Args:
        asked: all cells of the command.
        launcher: of a sweep; None for a single run, which trains in this process.
        alone: the command is for this single run only, which gets a progress bar.

    Returns:
        the exit code of the command.

    Raises:
        ValueError: if a cell cannot be trained; raised before any is trained.
    """
    switches, swept = asked[0].config, launcher is not None
    states = {cell.folder: read_state(cell.folder) for cell in asked}
    todo = [cell for cell in asked if _wanted(states[cell.folder], switches["resume"])]
    _rehearse(todo)
    for line in console.superseded(todo) if alone or swept else ():
        log.info(line)
    labels = console.labels(asked)
    executor = _executor(launcher, switches["workers"], asked=len(asked), alone=alone)
    at_a_time = executor.at_a_time and max(1, min(executor.at_a_time, len(todo)))
    if switches["dry_run"]:
        console.announce(states, todo, at_a_time, labels)
        return 0
    for line in _others(todo) if swept else ():
        log.info(line)
    written = _prepare(asked, todo if swept else None)
    if swept:
        done = sum(state.finished for state in states.values())
        number = f", {at_a_time} at a time" if at_a_time else ""
        cells = counted(len(asked), "cell")
        log.info("%s: %d done before, %d to train%s", cells, done, len(todo), number)
    pace = Pace([(cell, Size(*run.size(cell))) for cell in todo], executor.at_a_time)
    try:
        shown = live.view(asked, pace, labels, states, redrawn=not isinstance(executor, InProcess))
        with locks.locked(*written):  # so that `status` sees that this command is alive
            code = _train_all(todo, states, executor, pace, shown, not swept)
        if alone or swept:
            with _any_reader():
                if code:
                    console.stopped(states)
                else:
                    console.close(states, swept)
    except REFUSED as error:
        raise RuntimeError("a bug of this program, not a refused request") from error
    return code or int(any(not state.finished for state in states.values()))


def _executor(
    launcher: Launcher | None, workers: int | None, *, asked: int, alone: bool
) -> Executor:
    """Return the executor of a launcher; without one, cells train in this process.

    Raises:
        ValueError: for a launcher that cannot be used here, and for `workers` with one of Hydra's
            own launchers, which have their own keys.
    """
    if launcher is None:
        return InProcess(bar=alone)
    if isinstance(launcher, OffersExecutor):
        return launcher.executor(workers, asked)
    if workers is not None:
        raise ValueError(
            f"workers={workers} has no effect with {type(launcher).__name__}; set the keys of "
            "hydra.launcher, or use hydra/launcher=pool"
        )
    return HydraLauncher(launcher)


def _train_all(
    todo: Sequence[Cell],
    states: dict[Path, RunState],
    executor: Executor,
    pace: Pace,
    shown: AbstractContextManager[View],
    alone: bool,
) -> int:
    """Train cells and update their states; return 128 + the signal that stopped it, or 0."""
    states |= dict.fromkeys((cell.folder for cell in todo), RunState("missing"))
    held: list[Cell] = []
    ordered = todo if executor.at_a_time == 1 else pace.longest_first(todo)
    try:
        signals.begin()
        with shown as view:
            for wait in (False, True):
                if wait and not held:
                    break
                if wait:
                    view.say(_waiting_for(held))
                cells, held = (held, []) if wait else (ordered, [])
                with contextlib.closing(executor.train(cells, wait=wait)) as training:
                    for cell, state in training:
                        states[cell.folder] = state
                        if state.status == "held":
                            held.append(cell)
                        elif executor.reports:
                            view.ended(cell, state)
                        if cell.config["fail_fast"] and state.status == "failed":
                            return 0
                if alone:
                    break  # a single run is not waited for; `close` prints that it is held
    except Interrupted as error:
        return 128 + error.signal
    finally:  # of cells that were being trained when it ended early
        for cell in todo:
            if states[cell.folder].status == "missing":
                states[cell.folder] = read_state(cell.folder)
    return 0


def _waiting_for(held: Sequence[Cell]) -> str:
    holders = {locks.described(locks.holder(cell.folder)) for cell in held}
    names = ", ".join(sorted(holders - {""})) or "not known"
    return f"waiting for {counted(len(held), 'cell')} that other processes hold ({names})"


def _wanted(state: RunState, resume: str) -> bool:
    """Whether a cell in this state is trained; never with a corrupt row, which may be repaired."""
    if state.status == "corrupt":
        return False
    if resume == "missing":
        return not state.finished
    return resume == "all" or state.status in ("failed", "interrupted")


def _rehearse(todo: Sequence[Cell]) -> None:
    """Build the parts of each cell, once for all that differ in learning rate, clip or seed.

    Raises:
        ValueError: for values that only the built part can check, such as a batch larger than the
            data.
    """
    built = set()
    for cell in todo:
        inner = {group: cell.config[group] for group in schema.GROUPS}
        inner["optimizer"] = inner["optimizer"] | {"lr": None}
        inner["data"] = inner["data"] | {"seed": None}
        key = json.dumps(inner, sort_keys=True, default=str)
        if key not in built:
            built.add(key)
            run.rehearse(cell)


def _others(todo: Sequence[Cell]) -> list[str]:
    """A line for each other command that trains some of these cells now."""
    lines = []
    for study in dict.fromkeys(cell.folder.parent for cell in todo):
        wanted = {cell.name for cell in todo if cell.folder.parent == study}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged plans; `status` names them
            planned = [plan for plan in plans.read(study) if plan["folder"] == study]
        for plan in planned:
            if shared := len(wanted & plan["waiting"]):
                cells = counted(len(wanted), "cell")
                lines.append(
                    f"{plan['owner']} already trains {shared} of the {cells} to train; this "
                    "command trains those that it has not begun, and waits for the others"
                )
    return lines


def _prepare(asked: Sequence[Cell], todo: Sequence[Cell] | None) -> list[Path]:
    """Create the study's folder, and write the plan of a sweep into it; return the plans' files.

    Args:
        asked: all cells of the command.
        todo: those to train; None for a single run, which has no plan.

    Raises:
        ValueError: if the folder cannot be written to.
    """
    chosen = {cell.folder for cell in todo or ()}
    written = []
    by_study: dict[Path, list[Cell]] = {}
    for cell in asked:
        by_study.setdefault(cell.folder.parent, []).append(cell)
    for study, members in by_study.items():
        try:
            study.mkdir(parents=True, exist_ok=True)
            if not os.access(study, os.W_OK):
                raise PermissionError(13, "Permission denied")
            if todo is not None:
                planned = [
                    {
                        "run": cell.name,
                        "digest": cell.digest,
                        "overrides": list(cell.overrides),
                        "train": cell.folder in chosen,
                    }
                    for cell in members
                ]
                written.append(plans.write(study, plans.typed(), planned))
        except OSError as error:
            raise ValueError(
                f"cannot write below {study.absolute()} ({error.strerror}); change to a folder "
                "that you may write to, or choose another study=..."
            ) from error
    return written


@contextlib.contextmanager
def _any_reader() -> Iterator[None]:
    """Ignore a pipe closed by its reader, such as `head`, to keep the exit code of the sweep."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
