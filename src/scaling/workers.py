"""Processes that train cells side by side, each with its share of the machine.

A pool outlives the death of any of its processes: the cell that one was training becomes a `failed`
row, the next cell gets a new process. Processes die with their parent.
"""

import concurrent.futures
import itertools
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType

import pebble

from scaling import interrupts, locks, plans, results
from scaling.attempts import Ended, bury, fresh, give_up, train
from scaling.cells import Cell
from scaling.interrupts import Interrupted
from scaling.train import examples

GRACE = 8  # seconds in which an interrupted process may write its row
STOPPED = 143  # exit code of a process that was interrupted
DEVICE = "CUDA_VISIBLE_DEVICES"


def number(wanted: int | None, cells: int) -> int:
    """Processes to train so many cells: one per GPU, else one per core, each on one thread.

    One thread each, because small models leave threads waiting for each other: on 2 cores, 1, 2 and
    3 processes took 186, 154 and 166 s for the quickstart (tests/benchmarks/sweep_cost.py). With 0,
    cells are trained in this process, one after another, as a debugger likes it.
    """
    if wanted is None:
        wanted = len(devices()) or cores()
    return min(wanted, max(1, cells))


def cores() -> int:
    """How many cores this process may use, which on a shared machine are not all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them."""
    import torch

    if DEVICE in os.environ:
        return [device for device in os.environ[DEVICE].split(",") if device.strip()]
    return [str(i) for i in range(torch.cuda.device_count())]


def train_all(
    todo: Sequence[Cell], *, workers: int, bar: bool = False
) -> Generator[tuple[Cell, Ended], None, None]:
    """Each cell with its row as it ends; several processes take the longest ones first.

    Otherwise one of them would train a long cell at the end while the others have nothing to do.
    Closing the iterator early interrupts the cells that are being trained, which write their rows.

    Args:
        todo: cells to train.
        workers: processes; 0 is this one.
        bar: show a progress bar of each cell, in this process.
    """
    if workers == 0:
        for cell in todo:
            yield cell, train(cell, bar=bar, fresh=fresh(cell))
        return
    if not todo:
        return
    threads = max(1, cores() // workers)
    gpu_locks = Path(todo[0].folder.parent, plans.FOLDER).absolute()
    pool = pebble.ProcessPool(
        max_workers=workers,
        context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), threads, devices(), gpu_locks),
    )
    pebble.CONSTS.term_timeout = GRACE
    futures: dict[concurrent.futures.Future, Cell] = {}
    try:
        longest_first = sorted(todo, key=examples, reverse=True)
        futures |= {pool.schedule(_task, args=[cell]): cell for cell in longest_first}
        for future in concurrent.futures.as_completed(futures):
            cell = futures[future]
            try:
                yield cell, future.result()
            except pebble.ProcessExpired as death:
                yield cell, _ended(cell, int(death.exitcode or 0))
    finally:
        running = [cell for future, cell in futures.items() if future.running()]
        pool.stop()
        pool.join()
        for cell in running:
            give_up(cell)


def _task(cell: Cell) -> Ended:
    """What a process of the pool does with a cell."""
    _state.busy = True
    try:
        return train(cell, fresh=fresh(cell))
    except Interrupted:
        os._exit(STOPPED)  # its row is written; no other cell may begin before the pool ends
    finally:
        _state.busy = False


def _ended(cell: Cell, code: int) -> Ended:
    """How a cell ended whose process left with a code; a negative one is the signal that did it."""
    row = results.read_row(cell.folder)
    if code == STOPPED and row is not None:
        return row
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return bury(cell, f"its process was killed ({why}); out of memory, or killed by somebody")


class _State:
    busy = False


_state = _State()


def _begin(parent: int, threads: int, gpus: list[str], place: Path) -> None:
    """Prepare a process of the pool: its device, its threads, and its end."""
    import torch

    if gpus:
        os.environ[DEVICE] = _own(gpus, place)
    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _own(gpus: list[str], place: Path) -> str:
    """A GPU that no other process of the pool has; free again when this process ends."""
    for gpu in itertools.cycle(gpus):
        if locks.keep(place / f"gpu-{gpu}.lock"):
            return gpu
        time.sleep(0.1)
    raise AssertionError("unreachable: the cycle does not end")


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _state.busy:
        os._exit(0)
    interrupts.interrupt(number, frame)


def _die_with(parent: int) -> None:
    """End this process when its parent has, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
