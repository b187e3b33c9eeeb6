"""Jobs of a cluster, tested with the local executor of submitit."""

import contextlib
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import submitit
from forked import NUMBER
from processes import HANG, holder, sweep, wait_for

from scaling import results
from scaling.config.cell import Cell
from scaling.storage import locks
from scaling.storage.run_state import RunState
from scaling.sweeps.executors import slurm

STUDY = Path("multirun", "scratch")
LOCAL = ("hydra/launcher=slurm", "hydra.launcher.cluster=local")


def test_a_preempted_job_continues_from_its_checkpoint_and_ends_as_if_uninterrupted(folder):
    process = sweep("seed=0", "steps=100", *LOCAL)
    victim = wait_for(lambda: list(STUDY.glob("*/checkpoint.ckpt")))[0].parent
    first = holder(victim)
    os.kill(first, signal.SIGUSR2)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    assert holder(victim) != first
    log = "".join(path.read_text() for path in STUDY.glob(".sweeps/jobs/*.err"))
    assert "this job is preempted" in log
    assert "continues from step" in log

    alone = sweep("seed=0", "steps=100", "study=alone", "workers=1", "save_every=60")
    _, err = alone.communicate(timeout=HANG)
    assert alone.returncode == 0, err
    there, here = (results.read(f"multirun/{s}").set_index("run") for s in ("scratch", "alone"))
    assert there["val_loss"].to_dict() == here["val_loss"].to_dict()
    tables = [results.steps(f"multirun/{s}").drop(columns="study") for s in ("scratch", "alone")]
    pd.testing.assert_frame_equal(*tables)


def test_no_more_jobs_run_at_a_time_than_requested_and_ctrl_c_ends_them_all(folder):
    process = sweep("seed=0,1,2,3", "steps=100000", "workers=2", *LOCAL)
    wait_for(lambda: len(list(STUDY.glob("*/checkpoint.ckpt"))) == 2)
    held = [path.parent for path in STUDY.glob("*/.lock") if locks.is_held(path.parent)]
    assert len(held) == 2
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert results.read(STUDY)["status"].tolist() == ["interrupted"] * 2
    assert not any(map(locks.is_held, held))
    assert "stopped: 0 of 4 cells done, 2 kept as checkpoints, 2 not started\n" in err


def test_a_killed_job_fails_its_cell_and_no_other(folder, monkeypatch):
    """The other job is a process as users have it, which still imports when the first is killed."""
    monkeypatch.setenv(NUMBER, "1")
    process = sweep("hydra.sweeper.pairs=[{seed:[0,1],steps:[9,100000]}]", *LOCAL)
    victim = wait_for(lambda: list(STUDY.glob("*/checkpoint.ckpt")))[0].parent
    assert "seed=1" in victim.name
    os.kill(holder(victim), signal.SIGKILL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 1, err
    rows = results.read(STUDY).set_index("run")
    assert rows.loc[victim.name, "status"] == "failed"
    assert "its job" in rows.loc[victim.name, "error"]
    assert sorted(rows["status"]) == ["done", "failed"]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Fakes of the programs of Slurm; gives the arguments of their calls."""
    log = tmp_path / "calls.txt"
    for program in ("srun", "sbatch", "scancel", "sacct"):
        says = "Submitted batch job 42" if program == "sbatch" else ""
        (tmp_path / program).write_text(f'#!/bin/sh\necho {program} "$@" >> {log}\necho {says}\n')
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return lambda: log.read_text().splitlines() if log.exists() else []


class Job(submitit.Job):
    """A job that never ends."""

    def __init__(self, number):
        self._number = number

    def __del__(self):
        pass

    @property
    def job_id(self):
        return f"42_{self._number}"

    def done(self, force_check=False):
        return False


def test_a_cancelled_array_is_told_first_to_write_its_rows(programs, monkeypatch, cell_of_nothing):
    monkeypatch.setattr(slurm, "GRACE", 0.0)
    slurm._cancel([(cell_of_nothing, Job(i)) for i in range(3)], "slurm")
    assert programs() == [
        "scancel --state=PENDING 42",
        "scancel --state=RUNNING --signal=INT 42",
        "scancel 42",
    ]


@pytest.fixture
def cell_of_nothing(folder):
    """The parts of a cell that a job needs before it begins."""
    return Cell(
        config={"study": "scratch", "resume": "all"}, composed={}, overrides=(), choices={},
        fingerprint="", digest="", name="a",
    )  # fmt: skip


def test_arrays_follow_each_other_so_that_the_cap_holds(programs, monkeypatch, cell_of_nothing):
    class Ending(Job):
        def done(self, force_check=False):
            return True

    sizes = []

    class Executor:
        batch = contextlib.nullcontext

        def submit(self, task, cell):
            sizes[-1] += 1
            return Ending(sizes[-1])

    @contextlib.contextmanager
    def batch():
        sizes.append(0)
        yield

    executor = Executor()
    executor.batch = batch
    monkeypatch.setattr(slurm, "_submitter", lambda *_: executor)
    monkeypatch.setattr(slurm, "_ended", lambda cell, job: RunState("done"))
    monkeypatch.setattr(slurm, "EVERY", {"slurm": 0.0})
    monkeypatch.setattr(slurm, "ARRAY", 4)
    todo = [cell_of_nothing] * 10
    ended = slurm.Slurm(2, len(todo), cluster="slurm", settings={}).train(todo, wait=False)
    assert len(list(ended)) == 10
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), 'Could not detect "srun"'),
        (("hydra.launcher.cluster=cloud",), "cluster=cloud must be local or slurm"),
        (("hydra.launcher.partitoin=a",), "did you mean partition"),
        (("hydra.launcher.timeout_min=soon",), "timeout_min=soon must be of type"),
        (("hydra.launcher.timeout_min=-1",), "timeout_min=-1 must be at least 1"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_message(command, settings, message):
    ended = command("-m", "seed=0,1", "hydra/launcher=slurm", *settings)
    assert ended.code == 2
    assert message in ended.err
    assert not Path("multirun").exists()


def test_a_run_inside_a_job_of_slurm_is_one_process_and_requeues_nothing(command, monkeypatch):
    job = {"JOB_ID": "7", "JOB_NAME": "x", "NTASKS": "4", "NTASKS_PER_NODE": "4", "PROCID": "0",
           "LOCALID": "0", "NODEID": "0", "NODELIST": "here", "JOB_NODELIST": "here"}  # fmt: skip
    for key, value in job.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    from scaling.runs import run

    built = run._build
    seen = []
    monkeypatch.setattr(run, "_build", lambda *a, **k: seen.append(built(*a, **k)) or seen[-1])
    assert command("seed=1").code == 0
    _, _, trainer = seen[-1]
    environment = trainer._accelerator_connector.cluster_environment
    assert type(environment).__name__ == "LightningEnvironment"
    assert trainer.world_size == 1


@pytest.mark.parametrize(
    ("wanted", "cells", "cluster", "number"),
    [(None, 100, "slurm", 32), (200, 1000, "slurm", 200), (8, 3, "slurm", 3), (1, 5, "local", 1)],
)
def test_how_many_jobs_run_at_a_time(monkeypatch, wanted, cells, cluster, number):
    monkeypatch.setattr(slurm, "_submitter", lambda *_: None)
    assert slurm.Slurm(wanted, cells, cluster=cluster, settings={}).at_a_time == number


def test_the_script_for_slurm_has_the_keys_of_the_launcher(tmp_path, programs):
    """The script that would be submitted."""
    settings = {
        "partition": "gpu", "timeout_min": 90, "cpus_per_task": 4, "gpus_per_node": 1,
        "mem_gb": 16.0, "max_num_timeout": 5, "signal_delay_s": 120, "qos": None,
        "setup": ["module load cuda"], "additional_parameters": {"nice": 10},
    }  # fmt: skip
    executor = slurm._submitter(tmp_path / "jobs", 7, "slurm", settings)
    with executor.batch():
        for number in range(12):
            executor.submit(print, number)
    said = "".join(script.read_text() for script in (tmp_path / "jobs").glob("*submission*.sh"))
    for line in (
        "--array=0-11%7", "--partition=gpu", "--time=90", "--cpus-per-task=4", "--mem=16GB",
        "--gpus-per-node=1", "--signal=USR2@120", "--nice=10",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in said
    assert "module load cuda" in said
    assert executor._executor.max_num_timeout == 5
