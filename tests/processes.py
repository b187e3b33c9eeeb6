"""Sweeps in separate processes, and what they do meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import forked

from scaling.storage import locks
from scaling.sweeps.executors import worker_server

HANG = 600  # seconds after which a process counts as hanging; no test depends on shorter times

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
SMALL = (
    *("model.d_model=16", "model.layers=2", "model.heads=2", "data.context=16"),
    *("data.val_windows=8", "save_every=0"),
)


def start(*arguments: str, **streams) -> subprocess.Popen:
    """Start `python -m scaling.train ARGUMENTS` in a session of its own, with streams of Popen."""
    if not worker_server.FORKS:
        return typed(*arguments, **streams)
    return forked.Command(arguments, **(PIPES | streams))


def typed(*arguments: str, **streams) -> subprocess.Popen:
    """Start it as a user does; its imports take seconds of two processors."""
    return subprocess.Popen(
        [sys.executable, "-m", "scaling.train", *arguments],
        **(PIPES | {"start_new_session": True} | streams),
    )


def sweep(*arguments: str, start: Callable[..., subprocess.Popen] = start) -> subprocess.Popen:
    return start("-m", *SMALL, *arguments)


def wait_for(condition):
    deadline = time.monotonic() + HANG
    while not (found := condition()):
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.05)
    return found


def holder(folder: Path) -> int:
    """The process that trains in a run's folder, or did so last."""
    return json.loads((folder / locks.FILE).read_text())["pid"]
