"""Slurm jobs, one for each cell, which resume on another node after preemption."""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
import torch

from scaling.config.cell import Cell
from scaling.runs import signals
from scaling.runs.lifecycle import record_death, record_interrupted, starts_fresh, train
from scaling.runs.signals import Interrupted
from scaling.storage import plans
from scaling.storage.run_state import RunState
from scaling.sweeps.executors.pool import GRACE, cores

JOBS = "jobs"  # below the study's plans: files of submitit and of the jobs
ARRAY = 1000  # jobs of one array; Slurm's default limit is 1,001
CORES = "SLURM_CPUS_PER_TASK"
EVERY = {"local": 0.2, "slurm": 5.0}  # seconds between two checks of the jobs


class Slurm:
    """Train each cell in a job.

    Args:
        workers: jobs at a time; None is 32 on a cluster and one per core on this machine.
        cells: number of cells of the command.
        cluster: `slurm`, or `local` for processes of this machine.
        settings: of each job, by submitit's parameters.

    Raises:
        ValueError: for 0 workers, which is the command's own process, for settings that submitit
            refuses, or if the cluster is not available.
    """

    reports = True

    def __init__(
        self, workers: int | None, cells: int, *, cluster: str, settings: Mapping[str, Any]
    ):
        with tempfile.TemporaryDirectory() as folder:
            _submitter(Path(folder), 1, cluster, settings)
        if workers == 0:
            raise ValueError(
                "workers=0 is the command's own process; drop it, or hydra/launcher=slurm"
            )
        usual = cores() if cluster == "local" else 32
        self.at_a_time = max(1, min(workers or usual, cells))
        self.cluster, self.settings = cluster, settings

    def train(
        self, cells: Sequence[Cell], *, wait: bool
    ) -> Generator[tuple[Cell, RunState], None, None]:
        """Yield each cell with its state as its job ends; a job waits for a held cell anyway."""
        if not cells:
            return
        local = self.cluster == "local"
        folder = cells[0].folder.parent / plans.FOLDER / JOBS
        submitter = _submitter(folder, self.at_a_time, self.cluster, self.settings)
        threads = max(1, cores() // self.at_a_time) if local else None
        waiting: list[Cell] = list(cells)
        running: list[tuple[Cell, submitit.Job]] = []
        try:
            while waiting or running:
                # each array has its own limit, so two arrays would run twice as many jobs
                room = self.at_a_time - len(running) if local else ARRAY * (not running)
                submitted, waiting = waiting[:room], waiting[room:]
                if submitted:
                    with signals.held_back():  # running jobs must be known, to cancel them
                        with submitter.batch():
                            jobs = [
                                submitter.submit(
                                    _Train(fresh=starts_fresh(cell), threads=threads), cell
                                )
                                for cell in submitted
                            ]
                        running += zip(submitted, jobs, strict=True)
                time.sleep(EVERY[self.cluster])
                signals.raise_dropped()
                for cell, job in [pair for pair in running if pair[1].done()]:
                    running.remove((cell, job))
                    yield cell, _ended(cell, job)
        finally:
            _cancel(running, self.cluster)


def _submitter(
    folder: Path, workers: int, cluster: str, settings: Mapping[str, Any]
) -> submitit.AutoExecutor:
    if cluster not in EVERY:
        raise ValueError(f"hydra.launcher.cluster={cluster} must be {' or '.join(EVERY)}")
    for key in ("timeout_min", "cpus_per_task", "signal_delay_s"):
        if settings.get(key, 1) < 1:
            raise ValueError(f"hydra.launcher.{key}={settings[key]} must be at least 1")
    requeues = settings.get("max_num_timeout", 3)
    common = {"timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node"}
    try:
        executor = submitit.AutoExecutor(
            folder,
            cluster=cluster,
            slurm_max_num_timeout=requeues,
            local_max_num_timeout=requeues,
        )
        executor.update_parameters(
            name="scaling",
            slurm_array_parallelism=workers,
            **{
                key if key in common else f"slurm_{key}": value
                for key, value in settings.items()
                if value is not None and key != "max_num_timeout"
            },
        )
    except (AssertionError, NameError, RuntimeError, ValueError) as error:
        raise ValueError(f"hydra.launcher: {error}") from error
    return executor


class _Train:
    """The task of a job; submitit calls `checkpoint` before preemption or a timeout.

    Args:
        fresh: start from the beginning, unless this job was requeued.
        threads: for torch; None is one per core of the job.
    """

    def __init__(self, *, fresh: bool, threads: int | None):
        self.fresh, self.threads = fresh, threads

    def __call__(self, cell: Cell) -> RunState:
        signals.listen_to_keys()
        logger = logging.getLogger("scaling")  # into the log of the job
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
        torch.set_num_threads(self.threads or int(os.environ.get(CORES, cores())))
        begun = int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0
        try:
            return train(cell, wait=True, fresh=self.fresh and not begun)
        except Interrupted as stop:
            requeued = stop.__cause__ if isinstance(stop.__cause__, SystemExit) else None
            sys.exit(requeued.code if requeued else 128 + stop.signal)

    def checkpoint(self, cell: Cell) -> submitit.helpers.DelayedSubmission:
        signals.note(submitit.JobEnvironment._usr_sig())
        again = _Train(fresh=False, threads=self.threads)
        return submitit.helpers.DelayedSubmission(again, cell)


def _ended(cell: Cell, job: submitit.Job) -> RunState:
    """State of a cell whose job is over."""
    try:
        return job.result()
    except Exception:  # submitit raises various errors for a failed job
        return record_death(
            cell, f"its job {job.job_id} ended ({job.state}); log: {job.paths.stderr}"
        )


def _cancel(running: Sequence[tuple[Cell, submitit.Job]], cluster: str) -> None:
    """Cancel jobs: pending ones first, then running ones, which get time to write their rows."""
    if not running:
        return
    if cluster == "slurm":
        arrays = sorted({job.job_id.split("_")[0] for _, job in running})
        for flags in (["--state=PENDING"], ["--state=RUNNING", "--signal=INT"]):
            subprocess.run(["scancel", *flags, *arrays], check=False)
    else:
        for _, job in running:
            job.cancel()
    deadline = time.monotonic() + GRACE
    while not all(job.done() for _, job in running) and time.monotonic() < deadline:
        time.sleep(0.1)
    if cluster == "slurm":
        subprocess.run(["scancel", *arrays], check=False)
    for cell, _ in running:
        record_interrupted(cell)
