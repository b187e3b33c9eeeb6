"""A run is held by whoever trains it; the system lets go of a dead holder's lock by itself."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

FILE = ".lock"


_kept: list[IO[str]] = []  # files whose locks end with this process


def keep(path: Path) -> bool:
    """Lock a file until this process ends; gives False, at once, if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    if not _granted(file, fcntl.LOCK_EX):
        file.close()
        return False
    _kept.append(file)
    return True


def is_held(folder: Path) -> bool:
    """Whether a process holds `folder` right now."""
    try:
        with (folder / FILE).open() as file:
            return not _granted(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def holder(folder: Path) -> dict[str, Any]:
    """Who holds `folder`, or held it last: `host`, `pid`, `since`; empty if that is not known."""
    try:
        said = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


@contextlib.contextmanager
def hold(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold `folder` while the block runs; gives False, at once, if another process holds it.

    With `wait` it waits for the other process instead.

    The lock is `flock` on a file of its own, which says who holds it for people to read. The file
    stays behind, because removing it would let two processes hold two files of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+") as file:
        if wait:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not _locked(file):
            yield False
            return
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, file)
        file.flush()
        yield True


def _locked(file: IO[str]) -> bool:
    """Lock a file, unless another process holds it; who only looks (`is_held`) is waited for.

    A look shares its lock with others, so that where a shared lock is granted nobody holds.
    """
    while not _granted(file, fcntl.LOCK_EX):
        if not _granted(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(0.002)
    return True


def _granted(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
