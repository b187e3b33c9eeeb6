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
    """Lock a file, if need be at the third attempt: who only looks (`is_held`) is gone by then."""
    for _ in range(3):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False
