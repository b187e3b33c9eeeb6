"""The command line: the cells that a command asks for, those still to be done, their training."""

import contextlib
import datetime
import json
import logging
import os
import secrets
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from scaling import cells, config, interrupts, report, results, train
from scaling import workers as pool
from scaling.cells import Cell
from scaling.interrupts import Interrupted
from scaling.refusals import REFUSED, message

log = logging.getLogger(__name__)

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACK_WANTED = os.environ.get(FULL_ERROR) == "1"


def main() -> None:
    """The command line of `python -m scaling.train`; leaves with the exit code of the command."""
    interrupts.listen()
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, where it would leave with 1 by itself
    with _refusals():
        _single()
    sys.exit(0)


@hydra.main(version_base="1.3", config_path=str(config.FOLDER), config_name="config")
def _single(composed: DictConfig) -> None:
    """What Hydra calls for a single run; a sweep arrives in `multirun` instead."""
    with _refusals():
        full = HydraConfig.get()
        cell = cells.cell(composed, full.overrides.task, full.runtime.choices)
        code = work([cell], swept=False)
    if full.mode != RunMode.MULTIRUN:  # else one of Hydra's own sweepers goes on with the next
        sys.exit(code)


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
    """Train the cells that are to be trained, and say how it went.

    Returns:
        the exit code of the command.

    Raises:
        ValueError: if a cell could not be trained, before any is.
    """
    switches = asked[0].config
    outcome = {cell.folder: _standing(cell) for cell in asked}  # status, or why there is none
    todo = [cell for cell in asked if _wanted(outcome[cell.folder], switches["resume"])]
    _rehearse(todo)
    workers = pool.number(switches["workers"] if swept else 1, len(todo))
    if switches["dry_run"]:
        _announce(outcome, todo, workers)
        return 0
    _prepare(asked, swept)
    if swept:
        done = sum(state in results.FINISHED for state in outcome.values())
        log.info(
            "%d cells: %d done before, %d to train, %d at a time",
            *(len(asked), done, len(todo), workers),
        )
    try:
        code = _train_all(todo, outcome, workers, swept)
        _close(outcome, swept)
    except REFUSED as error:
        raise RuntimeError("a bug of this program, not a refused request") from error
    return code or int(any(state not in results.FINISHED for state in outcome.values()))


def _train_all(todo: Sequence[Cell], outcome: dict[Path, str], workers: int, swept: bool) -> int:
    """Train cells and note their outcome; gives 128 + the signal that stopped it, or 0."""
    outcome |= dict.fromkeys((cell.folder for cell in todo), "missing")
    pace = Pace(todo)
    held: list[Cell] = []
    try:
        for cell, ended in pool.train_all(todo, workers=workers):
            outcome[cell.folder] = _state(ended)
            if ended is None:
                held.append(cell)
            elif swept:
                log.info("%s", pace.line(cell, ended))
            if cell.config["fail_fast"] and outcome[cell.folder].startswith("failed"):
                return 0
        if held and swept:
            log.info("waiting for %d cells that other processes hold", len(held))
            for cell in held:
                ended = pool.train(cell, wait=True)
                outcome[cell.folder] = _state(ended)
                log.info("%s", pace.line(cell, ended))
    except Interrupted as error:
        for cell in todo:
            if _standing(cell) == "interrupted":
                outcome[cell.folder] = "interrupted"
        return 128 + error.signal
    return 0


def _state(ended: pool.Ended) -> str:
    """How a cell ended, in words that start with its status."""
    if ended is None:
        return "held by another process"
    if isinstance(ended, OSError):
        return f"failed: its row could not be written ({ended})"
    if isinstance(ended, ValueError):
        return f"corrupt: {ended}"
    return f"{ended.status}: {ended.error}" if ended.error else ended.status


def _wanted(state: str, resume: str) -> bool:
    """Whether a cell in this state is trained; a damaged row never is, so that nothing is lost."""
    if state.startswith("corrupt"):
        return False
    if resume == "missing":
        return state not in results.FINISHED
    return resume == "all" or state in ("failed", "interrupted")


def _announce(outcome: Mapping[Path, str], todo: Sequence[Cell], workers: int) -> None:
    """Say what a command would train, and about how long that takes."""
    chosen = {cell.folder for cell in todo}
    for folder, state in outcome.items():
        print(f"{'train' if folder in chosen else 'keep '}  {folder.name}  ({state})")
    print(f"{len(todo)} of {len(outcome)} cells would be trained, {workers} at a time")
    studies = {folder.parent for folder in outcome if any(folder.parent.glob(f"*/{results.FILE}"))}
    if not studies:
        return
    rows = results.read(*studies)
    known = rows[rows["status"].isin(results.FINISHED)]
    rate = known["seconds"].sum() / max(1, known["examples"].sum())
    if todo and len(known):
        seconds = rate * sum(train.examples(cell) for cell in todo) / workers
        print(f"about {_duration(seconds)}, at the mean speed of {len(known)} rows of the study")


class Pace:
    """How fast a sweep goes, in training examples per second of the clock."""

    def __init__(self, todo: Sequence[Cell]):
        self.waiting = {cell.folder: train.examples(cell) for cell in todo}
        self.total, self.trained = len(todo), 0
        self.started = time.monotonic()

    def line(self, cell: Cell, ended: pool.Ended) -> str:
        """What is said of a cell when it ends, and the time left for the others."""
        self.trained += self.waiting.pop(cell.folder)
        place = self.total - len(self.waiting)
        settings = cell.name.rsplit("-", 1)[0]
        parts = [f"[{place:{len(str(self.total))}d}/{self.total}] {settings}", _state(ended)]
        if isinstance(ended, results.Row):
            if "val_loss" in ended.measured:
                parts.append(f"val_loss {ended.measured['val_loss']:.3f}")
            if "clip_percent" in ended.measured:
                parts.append(f"clipped {ended.measured['clip_percent']:.0f} %")
            parts.append(_duration(ended.measured.get("seconds", 0)))
        if self.waiting:
            lasted = time.monotonic() - self.started
            left = sum(self.waiting.values()) * lasted / self.trained
            parts.append(f"about {_duration(left)} left")
        return "  ".join(parts)


def _standing(cell: Cell) -> str:
    """The status of a cell's row, `missing` without one, or what is wrong with it."""
    try:
        row = results.read_row(cell.folder)
    except ValueError as error:
        return f"corrupt: {error}"
    return "missing" if row is None else row.status


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
            study.mkdir(parents=True, exist_ok=True)
            if swept:
                plans = study / results.PLANS
                plans.mkdir(exist_ok=True)
                name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json"
                results.write_json(plan, plans / name)
            elif not os.access(study, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise ValueError(
                f"cannot write below {study.absolute()} ({error.strerror}); change to a folder "
                "that you may write to, or choose another study=..."
            ) from error


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
