"""A folder has one holder at a time, and a dead process does not hold it."""

import os
import signal
import subprocess
import sys

from scaling.storage import locks

HOLD = """
import sys, time
from pathlib import Path
from scaling.storage import locks
with locks.hold(Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(60)
"""


def test_a_held_folder_is_not_held_twice_and_a_dead_process_releases_it(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "True\n"
        with locks.hold(tmp_path) as held:
            assert not held
        assert str(other.pid) in (tmp_path / locks.FILE).read_text()
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
    with locks.hold(tmp_path) as held:
        assert held


def test_a_folder_can_be_held_again_after_its_release(tmp_path):
    for _ in range(2):
        with locks.hold(tmp_path / "new") as held:
            assert held
