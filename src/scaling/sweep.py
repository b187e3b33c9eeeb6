"""The command line: the cells that a command asks for, those still to be done, their training."""

import contextlib
import datetime
import json
import logging
import os
import secrets
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scaling import cells, config, locks, report, results, train
from scaling.cells import Cell
from scaling.refusals import REFUSED, message
from scaling.train import Interrupted

log = logging.getLogger(__name__)

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACK_WANTED = os.environ.get(FULL_ERROR) == "1"


def main() -> None:
    """The command line of `python -m scaling.train`; leaves with the exit code of the command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, where it would leave with 1 by itself
    with _refusals():
        _single()


@hydra.main(version_base="1.3", config_path=str(config.FOLDER), config_name="config")
def _single(composed: DictConfig) -> None:
    """What Hydra calls for a single run; a sweep arrives in `multirun` instead."""
    with _refusals():
        full = HydraConfig.get()
        cell = cells.cell(composed, full.overrides.task, full.runtime.choices)
        sys.exit(work([cell], swept=False))


def multirun(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    params: Mapping[str, Any],
    first: int | None,
) -> None:
    """What Hydra's sweeper calls for a grid; see `scaling.cells.expand`."""
    sys.exit(work(cells.expand(loader, master, arguments, params, first), swept=True))


def work(asked: Sequence[Cell], *, swept: bool) -> int:
    """Train the cells that are not done yet, one after another, and say how it went.

    Returns:
        the exit code of the command.

    Raises:
        ValueError: if a cell could not be trained, before any is.
    """
    outcome = {cell.folder: _standing(cell) for cell in asked}  # status, or why there is none
    todo = [cell for cell in asked if outcome[cell.folder] == "missing"]
    _rehearse(todo)
    _prepare(asked, swept)
    if swept:
        done = sum(state in results.FINISHED for state in outcome.values())
        log.info("%d cells: %d done before, %d to train", len(asked), done, len(todo))
    code, pace = 0, Pace(todo)
    for i, cell in enumerate(todo, start=1):
        try:
            row = _hold_and_train(cell, bar=not swept)
        except Interrupted as error:
            outcome[cell.folder] = "interrupted"
            code = 128 + error.signal
            break
        except OSError as error:
            outcome[cell.folder] = f"failed: its row could not be written ({error})"
            continue
        if row is None:
            outcome[cell.folder] = "held by another process"
            continue
        pace.add(cell, row)
        outcome[cell.folder] = f"{row.status}: {row.error}" if row.error else row.status
        if swept:
            log.info("[%*d/%d] %s", len(str(len(todo))), i, len(todo), pace.line(row))
    _close(outcome, swept)
    return code or int(any(state not in results.FINISHED for state in outcome.values()))


class Pace:
    """How fast a sweep goes, in training examples per second."""

    def __init__(self, todo: Sequence[Cell]):
        self.waiting = {cell.folder: train.examples(cell) for cell in todo}
        self.examples = self.seconds = 0.0

    def add(self, cell: Cell, row: results.Row) -> None:
        """Count a cell that has ended."""
        self.waiting.pop(cell.folder)
        self.examples += row.measured.get("examples", 0)
        self.seconds += row.measured.get("seconds", 0)

    def line(self, row: results.Row) -> str:
        """What is said of a cell when it ends, and the time left for the others."""
        parts = [row.run.rsplit("-", 1)[0], row.error or row.status]
        if "val_loss" in row.measured:
            parts.append(f"val_loss {row.measured['val_loss']:.3f}")
        if "clip_percent" in row.measured:
            parts.append(f"clipped {row.measured['clip_percent']:.0f} %")
        parts.append(_duration(row.measured.get("seconds", 0)))
        if self.waiting and self.examples:
            left = sum(self.waiting.values()) * self.seconds / self.examples
            parts.append(f"about {_duration(left)} left")
        return "  ".join(parts)


def _standing(cell: Cell) -> str:
    """Where a cell stands before the command: a finished status, `missing`, or what is wrong."""
    try:
        row = results.read_row(cell.folder)
    except ValueError as error:
        return f"corrupt: {error}"
    return row.status if row is not None and row.status in results.FINISHED else "missing"


def _rehearse(todo: Sequence[Cell]) -> None:
    """Build what each cell will build, once for all that differ in learning rate, clip or seed.

    Raises:
        ValueError: for values that only the thing itself can judge, such as a batch larger than
            the data.
    """
    built = set()
    for cell in todo:
        inner = {group: cell.config[group] for group in config.GROUPS}
        inner["optimizer"] = inner["optimizer"] | {"lr": None}
        inner["data"] = inner["data"] | {"seed": None}
        key = json.dumps(inner, sort_keys=True, default=str)
        if key not in built:
            built.add(key)
            train.rehearse(cell)


def _prepare(asked: Sequence[Cell], swept: bool) -> None:
    """Make the study's folder and leave the plan of a sweep in it.

    Raises:
        ValueError: if the folder cannot be written to.
    """
    by_study: dict[Path, list[Cell]] = {}
    for cell in asked:
        by_study.setdefault(cell.folder.parent, []).append(cell)
    now = datetime.datetime.now(datetime.UTC)
    for study, members in by_study.items():
        plan = {
            "schema": results.SCHEMA,
            "time": now.isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "scaling.train", *sys.argv[1:]]),
            "cells": [{"run": cell.name, "digest": cell.digest} for cell in members],
        }
        try:
            plans = study / results.PLANS
            plans.mkdir(parents=True, exist_ok=True)
            if swept:
                name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json"
                results.write_json(plan, plans / name)
            elif not os.access(study, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise ValueError(
                f"cannot write below {study.absolute()} ({error.strerror}); change to a folder "
                "that you may write to, or choose another study=..."
            ) from error


def _hold_and_train(cell: Cell, bar: bool) -> results.Row | None:
    """The row of a cell, trained unless another process was faster; None if one is at it."""
    with locks.hold(cell.folder) as held:
        if not held:
            return None
        row = results.read_row(cell.folder)
        if row is not None and row.status in results.FINISHED:
            return row
        return train.run(cell, bar=bar)


def _close(outcome: Mapping[Path, str], swept: bool) -> None:
    """Print the table of a sweep or the row of a run, and each cell that is not done."""
    ended = [folder for folder, state in outcome.items() if (folder / results.FILE).exists()]
    if ended:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # corrupt rows are named below
            rows = results.read(*ended)
        print("\n" + (report.table(rows) if swept else report.line(rows)))
    undone = {folder: state for folder, state in outcome.items() if state not in results.FINISHED}
    for folder, state in undone.items():
        print(f"{folder}: {state}", file=sys.stderr)
        if (folder / train.TRACEBACK).exists() and state.startswith("failed"):
            print(f"  traceback in {folder / train.TRACEBACK}", file=sys.stderr)
    if undone:
        again = shlex.join(["python", "-m", "scaling.train", *sys.argv[1:]])
        print(f"{len(undone)} of {len(outcome)} not done; to try again: {again}", file=sys.stderr)
    for study in sorted({folder.parent for folder in outcome} if swept else ()):
        print(f"figures: python -m scaling.report {study}")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refused request into one message and exit code 2."""
    try:
        yield
    except Interrupted as error:
        print("interrupted; nothing was trained", file=sys.stderr)
        sys.exit(128 + error.signal)
    except REFUSED as error:
        if TRACEBACK_WANTED:
            raise
        print(f"error: {message(error)}", file=sys.stderr)
        sys.exit(2)
