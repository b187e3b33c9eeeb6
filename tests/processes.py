"""Sweeps in separate processes, and what they do meanwhile."""

import json
import subprocess
import sys
import time
from pathlib import Path

from scaling.storage import locks

HANG = 600  # seconds after which a process counts as hanging; no test depends on shorter times

SMALL = (
    *("model.d_model=16", "model.layers=2", "model.heads=2", "data.context=16"),
    *("data.val_windows=8", "save_every=0"),
)


def sweep(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "scaling.train", "-m", *SMALL, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(condition):
    deadline = time.monotonic() + HANG
    while not (found := condition()):
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.05)
    return found


def holder(folder: Path) -> int:
    """The process that trains in a run's folder, or did so last."""
    return json.loads((folder / locks.FILE).read_text())["pid"]
