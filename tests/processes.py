"""Sweeps in separate processes, and what they do meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import forked

from scaling.storage import locks
from scaling.sweeps.executors import worker_server

HANG = 600  # seconds after which a process counts as hanging; no test depends on shorter times

# `subprocess.Popen` for Python, without the seconds of its imports where it can be forked
python = forked.Command if worker_server.FORKS else subprocess.Popen
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
SMALL = (
    *("model.d_model=16", "model.layers=2", "model.heads=2", "data.context=16"),
    *("data.val_windows=8", "save_every=0"),
)


def start(*arguments: str, **streams) -> subprocess.Popen:
    """Start `python -m scaling.train ARGUMENTS` in a session of its own, with streams of Popen."""
    return _started(python, arguments, streams)


def typed(*arguments: str, **streams) -> subprocess.Popen:
    """Start it as a user does; its imports take seconds of two processors."""
    return _started(subprocess.Popen, arguments, streams)


def _started(how: Callable[..., subprocess.Popen], arguments: Sequence[str], streams: Mapping):
    words = [sys.executable, "-m", "scaling.train", *arguments]
    return how(words, **(PIPES | {"start_new_session": True} | streams))


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
