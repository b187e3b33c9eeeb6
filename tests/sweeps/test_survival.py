"""A sweep that is killed at random ends with the table of one that was not.

SCALING_KILLS says how often; `make survive` kills ten times, each kind of process in turn.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import processes
import psutil
import pytest
from processes import HANG, wait_for

from scaling import results
from scaling.storage import heartbeats, locks

KILLS = int(os.environ.get("SCALING_KILLS", "1"))
STEPS = 50 + 40 * KILLS  # long enough for a process to be running at the last kill
GRID = (
    *("batch=8,16", "lr=1e-3,1e-2,1e-1", "save_every=0", "workers=2"),
    *("model.d_model=16", "model.layers=1", "model.heads=2", "data.context=16"),
    *("data.val_windows=8",),
)
TIMES = ("seconds", "statistics_percent", "layer_statistics_percent")  # taken with a clock
READERS = (results.steps, results.epochs, results.layers)
VICTIMS = ("parent", "worker", "group")


def start(study: str, log: Path, *more: str) -> subprocess.Popen:
    words = ("-m", f"study={study}", *GRID, *more)
    with log.open("a") as file:
        return processes.start(*words, stdout=file, stderr=subprocess.STDOUT)


def workers(study: str) -> list[int]:
    """The processes that train a cell of a study right now."""
    held = [path.parent for path in Path("multirun", study).glob(f"*/{heartbeats.FILE}")]
    holders = [locks.holder(folder) for folder in held if locks.is_held(folder)]
    return [holder["pid"] for holder in holders if holder]  # a lock is held before it has a name


def tables(study: str) -> tuple[pd.DataFrame, ...]:
    folder = Path("multirun", study)
    rows = results.read(folder).drop(columns=["study", *TIMES])
    return rows, *(read(folder).drop(columns="study") for read in READERS)


def mine() -> list[psutil.Process]:
    """The processes that work in this test's folder, except the test itself."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.cwd() == os.getcwd():
                found.append(process)
    return found


@pytest.mark.skipif(KILLS < 1, reason="SCALING_KILLS=0")
def test_a_sweep_that_is_killed_at_random_ends_as_if_uninterrupted(folder):
    log, more = Path("log.txt"), f"steps={STEPS}"
    seed = int(os.environ.get("SCALING_KILL_SEED", time.time_ns() % 10**6))
    chance = random.Random(seed)
    victims = chance.sample(VICTIMS, 3)
    for number in range(KILLS):
        victim = victims[number % 3]
        # or a sweep that survives its worker could finish before the next kills
        process = start("killed", log, more, *(["fail_fast=true"] if victim == "worker" else []))
        wait_for(lambda process=process: workers("killed") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        time.sleep(chance.uniform(0.0, 2.5))
        while victim == "worker" and not (training := workers("killed")):
            time.sleep(0.01)
        if victim == "worker":
            os.kill(chance.choice(training), signal.SIGKILL)
        elif victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        assert process.wait(timeout=HANG) == (1 if victim == "worker" else -signal.SIGKILL)
        _, alive = psutil.wait_procs(mine(), timeout=HANG)
        assert not alive, f"orphans after the {victim} was killed (seed {seed})"
    assert start("killed", log, more).wait(timeout=HANG) == 0, log.read_text()
    assert start("alone", log, more, "save_every=60").wait(timeout=HANG) == 0, log.read_text()

    for killed, alone in zip(tables("killed"), tables("alone"), strict=True):
        pd.testing.assert_frame_equal(killed, alone, obj=f"seed {seed}")
    assert len(tables("killed")[0]) == 6
    for path in Path("multirun").rglob("*.json"):
        json.loads(path.read_text())
    assert not list(Path("multirun").rglob("*.draft"))
    assert not list(Path("multirun").rglob("*.corrupt.ckpt"))
    assert not list(Path("multirun").rglob(heartbeats.FILE))


MARK = """
import lightning as L

class Mark(L.Callback):
    def on_fit_start(self, trainer, module):
        with open("starts.txt", "a") as file:
            file.write(f"{trainer.default_root_dir}\\n")
"""


def test_two_sweeps_started_together_train_no_cell_twice(folder, monkeypatch):
    Path("marks.py").write_text(MARK)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    logs = [Path("first.txt"), Path("second.txt")]
    more = ("steps=60", "+callbacks.mark._target_=marks.Mark")
    both = [start("both", log, *more) for log in logs]
    assert [process.wait(timeout=HANG) for process in both] == [0, 0], logs[0].read_text()
    rows = tables("both")[0]
    assert rows["status"].tolist() == ["done"] * 6
    started = Path("starts.txt").read_text().splitlines()
    assert sorted(Path(run).name for run in started) == rows["run"].tolist()
    steps = results.steps("multirun/both").groupby("run", observed=True)["step"]
    assert all(of_run.tolist() == list(range(60)) for _, of_run in steps)
    shown = {log.read_text().split("Validation loss in nats")[1] for log in logs}
    assert len(shown) == 1
