"""A running sweep is visible to others, and a killed one is not."""

import re
import signal
from contextlib import contextmanager
from pathlib import Path

from processes import sweep, wait_for

from scaling.reporting import status
from scaling.storage import heartbeats

STUDY = Path("multirun/scratch")


@contextmanager
def running():
    """A sweep of two cells, which is killed at the end of the block."""
    process = sweep("seed=0,1", "steps=100000", "workers=1")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def look() -> tuple[list[str], str]:
    """The states of the cells, sorted, and what `status` prints."""
    found, text = status.look([STUDY], as_json=False)
    return sorted(cell.state for cell in found), text


def test_a_second_command_and_status_name_the_process_that_trains_until_it_is_killed(folder):
    with running() as first:
        wait_for(lambda: list(STUDY.glob(f"*/{heartbeats.FILE}")))
        states, text = look()
        with running() as second:
            said = second.stdout.readline()
    assert states == ["running", "waiting"]
    assert f"running (pid {first.pid} on " in text
    assert "2 of 2 cells left: python -m scaling.train -m" in text
    assert "not done" not in text
    assert re.match(rf"pid {first.pid} on \S+ since \S+ already trains 2 of the 2 cells", said)
    states, text = look()
    assert "waiting" not in states
    assert "2 of 2 cells not done: python -m scaling.train -m" in text
