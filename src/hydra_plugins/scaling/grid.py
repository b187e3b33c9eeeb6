"""Hydra's `hydra/sweeper=grid`: hands a `--multirun` command to `scaling.sweep`."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GridConf:
    """The keys below `hydra.sweeper`."""

    _target_: str = "hydra_plugins.scaling.grid.GridSweeper"
    params: dict[str, Any] | None = None  # key -> values to sweep, as on the command line
    first: int | None = None  # keep this many values of every swept key; null keeps all


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="scaling")


class GridSweeper(Sweeper):
    """Cells of a grid, all checked before the first one trains."""

    def __init__(self, params: dict[str, Any] | None, first: int | None):
        self.params, self.first = params or {}, first

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.master = hydra_context, config

    def sweep(self, arguments: list[str]) -> None:
        from scaling import sweep  # imports torch, which other Hydra apps need not pay for

        sweep.multirun(self.context.config_loader, self.master, arguments, self.params, self.first)
