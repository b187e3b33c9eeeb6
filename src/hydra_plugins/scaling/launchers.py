"""Hydra launchers `pool` and `slurm`, which train the cells of `hydra/sweeper=grid`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:  # it imports torch
    from scaling.sweeps.executors.executor import Executor


@dataclass
class PoolConf:
    """Processes on this machine; the root key `workers` sets their number."""

    _target_: str = "hydra_plugins.scaling.launchers.PoolLauncher"


@dataclass
class SlurmConf:
    """Jobs on a cluster, by submitit's parameters; the root key `workers` limits how many run."""

    _target_: str = "hydra_plugins.scaling.launchers.SlurmLauncher"
    cluster: str = "slurm"  # local runs the jobs on this machine, to try them out
    partition: str | None = None
    timeout_min: int = 240  # a job that runs out of time is requeued and resumes
    max_num_timeout: int = 3  # how often it is requeued
    signal_delay_s: int = 90  # seconds before the timeout at which a job is signaled
    cpus_per_task: int = 2
    gpus_per_node: int | None = None
    mem_gb: float | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] | None = None  # shell commands at the start of a job
    additional_parameters: dict[str, Any] = field(default_factory=dict)  # other sbatch flags


for name, node in {"pool": PoolConf, "slurm": SlurmConf}.items():
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="scaling")


class _Launcher(Launcher):
    """Trains cells that `hydra/sweeper=grid` has checked."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        pass

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        raise ValueError(
            "hydra/launcher=pool and hydra/launcher=slurm train the cells of hydra/sweeper=grid; "
            "add hydra/launcher=basic for other sweepers"
        )


class PoolLauncher(_Launcher):
    """A pool of processes, see `scaling.sweeps.executors.pool`."""

    def prepare(self, workers: int | None) -> None:
        """Let the server of the workers import torch while this process does."""
        from scaling.sweeps.executors import worker_server

        if workers != 0:
            worker_server.start()

    def executor(self, workers: int | None, cells: int) -> "Executor":
        """Return the executor for a number of cells and processes."""
        from scaling.sweeps.executors import pool  # imports torch; other Hydra apps need not wait

        return pool.executor(workers, cells)


class SlurmLauncher(_Launcher):
    """A job for each cell, see `scaling.sweeps.executors.slurm`."""

    def __init__(self, cluster: str, **settings: Any):
        self.cluster, self.settings = cluster, settings

    def prepare(self, workers: int | None) -> None:
        """Do nothing: jobs start when they are submitted."""

    def executor(self, workers: int | None, cells: int) -> "Executor":
        """Return the executor for a number of cells, with at most `workers` jobs at a time.

        Raises:
            ValueError: for invalid settings of `hydra.launcher`, or without submitit.
        """
        try:
            from scaling.sweeps.executors import slurm
        except ModuleNotFoundError as error:
            raise ValueError(
                f"hydra/launcher=slurm needs {error.name}; pip install 'submitit>=1.5'"
            ) from error
        return slurm.Slurm(workers, cells, cluster=self.cluster, settings=self.settings)
