"""Locks, so that only one process trains a run. The system releases them if the process dies."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

FILE = ".lock"

_kept: list[IO[str]] = []  # open files, whose locks end with this process


def keep(path: Path) -> bool:
    """Lock a file until this process ends; return False at once if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    if not _granted(file, fcntl.LOCK_EX):
        file.close()
        return False
    _kept.append(file)
    return True


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of `folder`."""
    return is_locked(folder / FILE)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        with path.open() as file:
            return not _granted(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """Lock files that no other process locks while the block runs, so that others can see it."""
    with contextlib.ExitStack() as opened:
        for path in paths:
            _locked(opened.enter_context(path.open("r+")))
        yield


def holder(folder: Path) -> dict[str, Any]:
    """`host`, `pid` and `since` of the last process that held `folder`; empty if unknown."""
    try:
        record = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def this_process() -> dict[str, Any]:
    """`host`, `pid` and `since`, the time now, of this process."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}


def described(holder: Mapping[str, Any]) -> str:
    """A holder for display, such as `pid 12 on node7`; empty if unknown."""
    if not {"host", "pid"} <= holder.keys():
        return ""
    return f"pid {holder['pid']} on {holder['host']}"


@contextlib.contextmanager
def hold(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of `folder` while the block runs; yield False if another process holds it.

    The lock is a `flock` on a file that names its holder. The file is never removed, because two
    processes could then lock two files of the same name.

    Args:
        folder: made if missing.
        wait: wait for the other process instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+") as file:
        if wait:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not _locked(file):
            yield False
            return
        file.truncate(0)
        json.dump(this_process(), file)
        file.flush()
        yield True


def _locked(file: IO[str]) -> bool:
    """Lock a file unless another process holds it.

    Retries while `is_held` has a shared lock for a moment: if a shared lock is granted, no process
    holds the file.
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
