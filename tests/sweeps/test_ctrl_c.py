"""Ctrl-C at any moment of a command: a few lines, exit code 130, and no process left behind."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked import NUMBER
from processes import HANG, PIPES, SMALL, start, sweep, typed, wait_for

STUDY = Path("multirun", "scratch")
SWEEP = ("-m", "seed=0,1,2", "scale=tiny", "steps=100000", "save_every=0", "workers=1")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def has_loaded(pid: int, library: str) -> bool:
    return library in Path(f"/proc/{pid}/maps").read_text()


def living(session: int) -> list[str]:
    """The processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue  # it has ended
        state, _, _, number = rest.split()[:4]
        if int(number) == session and state not in "ZX":
            found.append(name)
    return found


def pressed(process: subprocess.Popen) -> list[str]:
    """Press Ctrl-C as a terminal does, and return what the command prints about it."""
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    wait_for(lambda: not living(process.pid))
    return err.splitlines()


@pytest.mark.parametrize("library", ["_yaml", "libtorch", "pyarrow"])
def test_during_imports_nothing_has_started(folder, library):
    process = typed(*SWEEP)
    wait_for(lambda: has_loaded(process.pid, library))
    assert pressed(process) == ["stopped before any run started"]


def test_while_workers_start(folder, monkeypatch):
    monkeypatch.setenv(NUMBER, "0")  # they are still importing
    process = start(*SWEEP)
    wait_for(STUDY.exists)
    lines = pressed(process)
    assert lines[0] == "stopped before any run started" or lines[0].startswith("stopped: 0 of 3")
    assert len(lines) <= 3


def test_while_a_single_run_trains(folder):
    process = start("scale=tiny", "steps=100000", "save_every=0")
    wait_for(lambda: list(STUDY.glob("*/checkpoint.ckpt")))
    *_, stopped, again = pressed(process)  # after its progress bar
    assert stopped == "stopped: 0 of 1 cell done, 1 kept as a checkpoint"
    assert again == "to continue: python -m scaling.train scale=tiny steps=100000 save_every=0"


ONE_ENDS = ("workers=1", "hydra.sweeper.pairs=[{seed:[0,1],steps:[1,100000]}]")


def test_after_a_run_has_ended(folder):
    process = sweep(*ONE_ENDS, "save_every=0")
    wait_for(lambda: list(STUDY.glob("*seed=1*/checkpoint.ckpt")))
    stopped, again = pressed(process)
    assert stopped == "stopped: 1 of 2 cells done, 1 kept as a checkpoint"
    assert again.startswith("to continue: python -m scaling.train -m ")


def test_on_a_terminal_the_cursor_comes_back(folder):
    ours, theirs = pty.openpty()
    process = start("-m", *SMALL, *ONE_ENDS, "save_every=0", stdout=theirs)
    os.close(theirs)
    said = b""
    while b"1 of 2 cells" not in said or not list(STUDY.glob("*seed=1*/checkpoint.ckpt")):
        said += os.read(ours, 1 << 16)
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 1 << 16):
            said += part
    os.close(ours)
    assert process.wait(timeout=HANG) == 130
    assert said.rfind(b"\x1b[?25h") > said.rfind(b"\x1b[?25l") >= 0
    with process.stderr as stream:
        err = stream.read()
    assert err.startswith("stopped: 1 of 2 cells done, 1 kept as a checkpoint\nto continue: ")


@pytest.mark.parametrize("library", ["pandas", "matplotlib"])
def test_while_a_report_is_written(folder, library):
    lines = [f"{2**i},{lr},{3 + (i - 4) ** 2 * lr}" for i in range(3, 8) for lr in (0.1, 0.2, 0.4)]
    Path("rows.csv").write_text("\n".join(["batch,lr,val_loss", *lines]))
    command = [sys.executable, "-m", "scaling.report", "rows.csv"]
    process = subprocess.Popen(command, **PIPES, start_new_session=True)
    wait_for(lambda: has_loaded(process.pid, library))
    assert pressed(process) == ["stopped; the report is not complete"]
