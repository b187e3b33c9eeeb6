"""A run is held by whoever trains it; the system lets go of a dead holder's lock by itself."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

FILE = ".lock"


_kept: list[IO[str]] = []  # files whose locks end with this process


def keep(path: Path) -> bool:
    """Lock a file until this process ends; gives False, at once, if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _kept.append(file)
    return True


def is_held(folder: Path) -> bool:
    """Whether a process holds `folder` right now."""
    try:
        with (folder / FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def hold(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold `folder` while the block runs; gives False, at once, if another process holds it.

    With `wait` it waits for the other process instead.

    The lock is `flock` on a file of its own, which says who holds it for people to read. The file
    stays behind, because removing it would let two processes hold two files of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, file)
        file.flush()
        yield True
