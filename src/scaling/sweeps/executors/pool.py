"""A pool of processes that train cells in parallel, each with its share of the machine.

If a process dies, its cell gets a `failed` row and the next cell a new process. Processes end with
their parent.
"""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType

import pebble

from scaling.config.cell import Cell
from scaling.runs import signals
from scaling.runs.lifecycle import record_death, record_interrupted, starts_fresh, train
from scaling.runs.signals import Interrupted
from scaling.storage import locks
from scaling.storage.run_state import RunState
from scaling.sweeps.executors import worker_server
from scaling.sweeps.executors.executor import Executor

TRIES = 3  # pools that may die before one of them trains
GRACE = 30  # seconds in which an interrupted process may write its row; a busy machine needs some
STOPPED = 143  # exit code of a process that was interrupted
DEVICE = "CUDA_VISIBLE_DEVICES"


def executor(workers: int | None, cells: int) -> Executor:
    """Return the executor for a number of cells: a process per GPU, else one per core.

    Each has one thread, because threads of small models wait for each other: on 2 cores, 1, 2 and 3
    processes took 186, 154 and 166 s for 16 runs (tests/benchmarks/sweep_cost.py).

    Args:
        workers: processes; 0 is this one, for a debugger; None is one per GPU, else per core.
        cells: number of cells of a command, finished or not, so that a sweep resumed for its last
            cells gives each no more threads than before.
    """
    if workers is None:
        workers = len(devices()) or cores()
    return Pool(min(workers, max(1, cells))) if workers else InProcess(bar=False)


def cores() -> int:
    """Number of cores that this process may use, which may be fewer than those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices() -> list[str]:
    """The GPUs that this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    import torch

    if DEVICE in os.environ:
        named = [device.strip() for device in os.environ[DEVICE].split(",")]
        return [device for device in named if device not in ("", "-1")]
    return [str(i) for i in range(torch.cuda.device_count())]


class InProcess:
    """Train cells in this process, one after another.

    Args:
        bar: show a progress bar of each cell, in place of a line.
    """

    at_a_time = 1

    def __init__(self, *, bar: bool):
        self.bar, self.reports = bar, not bar

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        for cell in cells:
            fresh = starts_fresh(cell) and not wait
            yield cell, train(cell, bar=self.bar, wait=wait, fresh=fresh)


class Pool:
    """Train cells in processes that share the machine, at most one per cell.

    Args:
        workers: processes.
    """

    reports = True

    def __init__(self, workers: int):
        self.at_a_time = workers

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        left = list(cells)
        for _ in range(TRIES if cells else 0):
            broken = []
            with contextlib.closing(_through_pool(left, self.at_a_time, wait)) as training:
                for cell, ended in training:
                    if isinstance(ended, BrokenProcessPool):
                        broken.append(cell)
                    else:
                        yield cell, ended
            left = broken
            if not left:
                return
        for cell in left:
            why = f"{TRIES} pools of processes died before they began to train"
            yield cell, record_death(cell, why)


def _through_pool(
    todo: Sequence[Cell], workers: int, wait: bool
) -> Generator[tuple[Cell, RunState | BrokenProcessPool], None, None]:
    """Yield each cell as it ends; broken if processes die before any of them began a cell."""
    threads = max(1, cores() // workers)
    slots = -(-workers // max(1, len(devices())))  # processes of each device
    pool = pebble.ProcessPool(
        max_workers=min(workers, max(1, len(todo))),
        context=worker_server.context(),
        initializer=_begin,
        initargs=(threads, devices(), slots),
    )
    pebble.CONSTS.term_timeout = GRACE
    futures: dict[concurrent.futures.Future, Cell] = {}
    try:
        with contextlib.suppress(BrokenProcessPool, RuntimeError):  # it may break in the meantime
            for cell in todo:
                futures[pool.schedule(_task, args=[cell, wait])] = cell
        pending = set(futures)
        while pending:
            done, pending = concurrent.futures.wait(pending, 1.0, FIRST_COMPLETED)
            signals.raise_dropped()
            for future in done:
                cell = futures[future]
                try:
                    yield cell, future.result()
                except pebble.ProcessExpired as death:
                    yield cell, _ended(cell, int(death.exitcode or 0))
                except BrokenProcessPool as error:
                    yield cell, error
            if not done and not pool.active:
                break  # a broken pool drops the cells that it had not started
        begun = {cell.folder for future, cell in futures.items() if future not in pending}
        for cell in todo:
            if cell.folder not in begun:
                yield cell, BrokenProcessPool("the pool broke before it took the cell")
    finally:
        running = [cell for future, cell in futures.items() if future.running()]
        pool.stop()
        pool.join()
        for cell in running:
            record_interrupted(cell)


def _task(cell: Cell, wait: bool) -> RunState:
    """Train a cell in a process of the pool."""
    _state.busy = True
    try:
        return train(cell, wait=wait, fresh=starts_fresh(cell) and not wait)
    except Interrupted:
        os._exit(STOPPED)  # its row is written; start no other cell before the pool ends
    finally:
        _state.busy = False


def _ended(cell: Cell, code: int) -> RunState:
    """State of a cell whose process ended; a negative exit code is the signal that killed it."""
    if code == STOPPED:
        return record_death(cell, None)
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return record_death(
        cell, f"its process was killed ({why}); it ran out of memory, or something killed it"
    )


class _State:
    busy = False


_state = _State()


def _begin(threads: int, gpus: list[str], slots: int) -> None:
    """Prepare a process of the pool: its exit, its device and its threads."""
    import torch

    threading.Thread(target=_die_with_parent, daemon=True).start()
    if gpus:
        os.environ[DEVICE] = _claimed(gpus, slots)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, _interrupt)


def _claimed(gpus: list[str], slots: int) -> str:
    """Claim a GPU until this process ends; at most `slots` processes of this machine share it."""
    place = Path(tempfile.gettempdir(), f"scaling-{os.getuid()}")
    for slot, gpu in itertools.cycle(itertools.product(range(slots), gpus)):
        if locks.keep(place / f"gpu-{gpu}-{slot}.lock"):
            return gpu
        time.sleep(0.1)
    raise AssertionError("unreachable: the cycle does not end")


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _state.busy:
        os._exit(STOPPED)
    signals.interrupt(number, frame)


def _die_with_parent() -> None:
    """End this process when the command that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
