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
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import pebble

from scaling import beats, interrupts, locks, results
from scaling.cells import Cell
from scaling.interrupts import Interrupted
from scaling.train import TRACEBACK, row_of, run

# A row; why it could not be read or written; or None where another process holds the cell.
Ended = results.Row | OSError | ValueError | None
GRACE = 8  # seconds in which an interrupted process may write its row
STOPPED = 143  # exit code of a process that was interrupted
DEVICE = "CUDA_VISIBLE_DEVICES"


def number(wanted: int | None, cells: int) -> int:
    """Processes to train so many cells: one per GPU, else one per core, each on one thread.

    One thread each, because small models leave threads waiting for each other.
    """
    if wanted is None:
        wanted = len(devices()) or cores()
    return max(1, min(wanted, cells))


def cores() -> int:
    """How many cores this process may use, which on a shared machine are not all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them."""
    import torch

    if DEVICE in os.environ:
        return [device for device in os.environ[DEVICE].split(",") if device.strip()]
    return [str(i) for i in range(torch.cuda.device_count())]


def train_all(todo: Sequence[Cell], *, workers: int) -> Iterator[tuple[Cell, Ended]]:
    """Each cell with its row as it ends.

    Closing the iterator early interrupts the cells that are being trained, which write their rows.

    Args:
        todo: cells to train.
        workers: processes; with one, cells are trained in this process, with a bar if it is alone.
    """
    if workers == 1:
        for cell in todo:
            yield cell, train(cell, bar=len(todo) == 1)
        return
    threads = max(1, cores() // workers)
    gpu_locks = Path(todo[0].folder.parent, results.PLANS).absolute()
    pool = pebble.ProcessPool(
        max_workers=workers,
        context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), threads, devices(), gpu_locks),
    )
    pebble.CONSTS.term_timeout = GRACE
    futures: dict[concurrent.futures.Future, Cell] = {}
    try:
        futures |= {pool.schedule(_task, args=[cell]): cell for cell in todo}
        for future in concurrent.futures.as_completed(futures):
            cell = futures[future]
            try:
                yield cell, future.result()
            except pebble.ProcessExpired as death:
                yield cell, _buried(cell, death)
    finally:
        running = [cell for future, cell in futures.items() if future.running()]
        pool.stop()
        pool.join()
        for cell in running:
            _given_up(cell)


def train(cell: Cell, *, bar: bool = False, wait: bool = False) -> Ended:
    """The row of a cell, unless another process holds it or the row cannot be written.

    A cell that another process has finished by now is not trained again, unless all are to be.

    Args:
        cell: to train.
        bar: show a progress bar.
        wait: for a process that holds the cell, and then see what it has left to do.
    """
    with locks.hold(cell.folder, wait=wait) as held:
        if not held:
            return None
        fresh = cell.config["resume"] == "all" and not wait
        try:
            row = results.read_row(cell.folder)
            if row is not None and row.status in results.FINISHED and not fresh:
                return row
            return run(cell, bar=bar, fresh=fresh)
        except (OSError, ValueError) as error:
            return error


def _task(cell: Cell) -> Ended:
    """What a process of the pool does with a cell."""
    _state.busy = True
    try:
        return train(cell)
    except Interrupted:
        os._exit(STOPPED)  # its row is written; no other cell may begin before the pool ends
    finally:
        _state.busy = False


def _buried(cell: Cell, death: pebble.ProcessExpired) -> results.Row:
    """The row of a cell whose process died, or the one that it wrote when it was interrupted."""
    code = int(death.exitcode or 0)
    row = results.read_row(cell.folder)
    if code == STOPPED and row is not None:
        return row
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    error = f"its process was killed ({why}); out of memory, or killed by somebody"
    row = row_of(cell, status="failed", error=error)
    with locks.hold(cell.folder) as held:
        if held:
            (cell.folder / TRACEBACK).write_text(f"{error}\n")
            results.write(row, cell.folder)
            beats.end(cell.folder)
    return row


def _given_up(cell: Cell) -> None:
    """Write the row of a cell whose process was interrupted, and had to be killed for it."""
    with locks.hold(cell.folder) as held:
        if held and beats.read(cell.folder):
            results.write(row_of(cell, status="interrupted"), cell.folder)
            beats.end(cell.folder)


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
