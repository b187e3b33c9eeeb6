"""A pool of processes: what each one gets, and what happens when it dies."""

import concurrent.futures
import os
import signal
import subprocess
import tempfile
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pebble
import psutil
import pytest
from forked import NUMBER
from processes import HANG, holder, sweep, typed, wait_for

from scaling import results
from scaling.storage import locks
from scaling.storage.rows import ROW_FILE
from scaling.sweeps.executors import pool, worker_server

STUDY = Path("multirun", "scratch")


def started() -> list[Path]:
    return [path.parent for path in STUDY.glob("*/checkpoint.ckpt")]


def test_a_killed_worker_fails_its_cell_and_no_other_and_the_cell_then_resumes(folder):
    process = sweep("workers=2", "seed=0,1,2", "steps=120")
    victim = wait_for(started)[0]
    os.kill(holder(victim), signal.SIGKILL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 1, err
    rows = results.read(STUDY).set_index("run")
    assert rows.loc[victim.name, "status"] == "failed"
    assert "its process was killed (SIGKILL)" in rows.loc[victim.name, "error"]
    assert rows["status"].tolist().count("done") == 2
    assert (victim / "checkpoint.ckpt").exists()

    again = sweep("workers=2", "seed=0,1,2", "steps=120")
    out, err = again.communicate(timeout=HANG)
    assert again.returncode == 0, err
    assert "2 done before, 1 to train" in out
    steps = results.steps(victim)
    assert steps["step"].tolist() == list(range(120))


def test_workers_die_with_their_parent_and_a_dead_sweep_resumes(folder):
    process = sweep("workers=2", "seed=0,1", "steps=1500")
    folders = wait_for(lambda: len(started()) == 2 and started())
    pids = [holder(folder) for folder in folders]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    def gone(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"

    wait_for(lambda: all(map(gone, pids)))
    assert not any(map(locks.is_held, folders))
    assert not list(STUDY.glob(f"*/{ROW_FILE}"))

    again = sweep("workers=2", "seed=0,1", "steps=1500")
    wait_for(lambda: all(map(locks.is_held, folders)))
    again.terminate()
    again.communicate(timeout=HANG)
    rows = results.read(STUDY)
    assert rows["status"].tolist() == ["interrupted"] * 2, rows["error"].tolist()
    assert len(started()) == 2  # with their checkpoints, at whatever step the signal came


def test_each_process_has_its_own_device_until_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(locks, "_kept", [])
    gpus = ["0", "1", "2"]
    assert sorted(pool._claimed(gpus, 1) for _ in gpus) == gpus
    place = tmp_path / f"scaling-{os.getuid()}"
    assert not locks.keep(place / "gpu-1-0.lock")
    locks._kept[1].close()  # as the system does for a process that ends
    assert pool._claimed(gpus, 1) == "1"
    locks._kept[2].close()
    with monkeypatch.context() as patch:
        patch.setenv(pool.DEVICE, "")
        patch.setattr(signal, "signal", lambda *_: None)  # the handlers of this process stay
        pool._begin(1, gpus, 1)
        assert os.environ[pool.DEVICE] == "2"
    for file in locks._kept:
        file.close()


@pytest.mark.parametrize(
    ("wanted", "cells", "number"), [(None, 100, pool.cores()), (8, 3, 3), (2, 9, 2), (1, 9, 1)]
)
def test_there_are_no_more_processes_than_cores_or_cells(monkeypatch, wanted, cells, number):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pool.executor(wanted, cells).at_a_time == number


def test_there_is_a_process_for_each_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    assert pool.executor(None, 100).at_a_time == 3


def server_of(process: subprocess.Popen) -> psutil.Process:
    """The server of a command's workers, as soon as it imports."""
    parent = psutil.Process(process.pid)
    return wait_for(
        lambda: [c for c in parent.children() if "forkserver" in " ".join(c.cmdline())]
    )[0]


forks = pytest.mark.skipif(not worker_server.FORKS, reason="workers are not forked here")


@forks
def test_a_server_of_workers_that_dies_before_any_cell_has_begun_costs_no_cell(folder, monkeypatch):
    monkeypatch.setenv(NUMBER, "0")  # it still imports when it dies
    process = sweep("workers=2", "seed=0,1", "steps=20")
    server_of(process).kill()
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, out + err
    assert results.read(STUDY)["status"].tolist() == ["done", "done"]


@forks
def test_a_refused_command_does_not_wait_for_the_imports_of_its_server(folder):
    none_left = ("seed=range(0,2000)", "batch=8", "hydra.sweeper.exclude=[{batch:8}]")
    process = sweep("workers=2", *none_left, start=typed)  # refused before it imports torch
    server = server_of(process)
    psutil.Process(process.pid).suspend()
    wait_for(lambda: "libtorch" in Path(f"/proc/{server.pid}/maps").read_text())
    server.suspend()
    psutil.Process(process.pid).resume()
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 2, err
    gone, _ = psutil.wait_procs([server], timeout=HANG)
    assert gone == [server]


@pytest.fixture
def starts(monkeypatch) -> list[None]:
    """Count the starts of a server of workers, and start none."""
    made: list[None] = []
    monkeypatch.setattr(worker_server, "start", lambda: made.append(None))
    return made


def test_a_server_is_started_only_where_workers_will_train(folder, monkeypatch, command, starts):
    grid = ("-m", "seed=0,1")
    assert command(*grid, "workers=2", "dry_run=true").code == 0
    assert command(*grid, "workers=0").code == 0
    assert not starts
    assert command(*grid, "workers=2").code == 0
    assert len(starts) == 1  # it is not known yet that another command has trained these cells
    assert command(*grid, "workers=2").code == 0
    assert command(*grid, "workers=2", "resume=failed").code == 0
    assert len(starts) == 1
    next(STUDY.glob(f"*/{ROW_FILE}")).unlink()
    monkeypatch.setattr("scaling.sweeps.sweep.train_cells", lambda cells, launcher: 0)
    assert command(*grid, "workers=2").code == 0
    assert command(*grid, "workers=2", "lr=1").code == 0
    assert len(starts) == 3


def test_pools_that_always_die_fail_their_cells_and_end(folder, monkeypatch, command, starts):
    broken = BrokenProcessPool("All workers expired")
    monkeypatch.setattr(pool, "_through_pool", lambda todo, *_: ((cell, broken) for cell in todo))
    ended = command("-m", "seed=0,1", "workers=2")
    assert ended.code == 1
    assert (
        results.read(STUDY)["error"].tolist()
        == ["3 pools of processes died before they began to train"] * 2
    )


class Forgetful:
    """A pool that broke before it started any cell, and never returns results."""

    active = False

    def __init__(self, **_):
        self.scheduled = 0

    def schedule(self, *_, **__):
        self.scheduled += 1
        if self.scheduled > 1:
            raise RuntimeError("Unexpected error within the Pool")
        return concurrent.futures.Future()

    def stop(self):
        pass

    join = stop


def test_a_broken_pool_that_forgets_its_cells_does_not_hang(monkeypatch, folder, command, starts):
    monkeypatch.setattr(pebble, "ProcessPool", Forgetful)
    ended = command("-m", "seed=0,1,2", "workers=2")
    assert ended.code == 1
    assert results.read(STUDY)["status"].tolist() == ["failed"] * 3
    assert "3 of 3 not done" in ended.err
