"""Ctrl-C at any moment of a command: a few lines, exit code 130, and no process left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import HANG, PIPES, typed, wait_for

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


def test_while_workers_start(folder):
    process = typed(*SWEEP)
    wait_for(STUDY.exists)
    lines = pressed(process)
    assert lines[0] == "stopped before any run started" or lines[0].startswith("stopped: 0 of 3")
    assert len(lines) <= 3


def test_while_a_single_run_trains(folder):
    process = typed("scale=tiny", "steps=100000", "save_every=0")
    wait_for(lambda: list(STUDY.glob("*/checkpoint.ckpt")))
    *_, stopped, again = pressed(process)  # after its progress bar
    assert stopped == "stopped: 0 of 1 cell done, 1 kept as a checkpoint"
    assert again == "to continue: python -m scaling.train scale=tiny steps=100000 save_every=0"


@pytest.mark.parametrize("library", ["pandas", "matplotlib"])
def test_of_a_report(folder, library):
    lines = [f"{2**i},{lr},{3 + (i - 4) ** 2 * lr}" for i in range(3, 8) for lr in (0.1, 0.2, 0.4)]
    Path("rows.csv").write_text("\n".join(["batch,lr,val_loss", *lines]))
    command = [sys.executable, "-m", "scaling.report", "rows.csv"]
    process = subprocess.Popen(command, **PIPES, start_new_session=True)
    wait_for(lambda: has_loaded(process.pid, library))
    assert pressed(process) == ["stopped; the report is not complete"]
