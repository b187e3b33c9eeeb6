"""Hydra sweeper `grid`: passes a `--multirun` command to `scaling.sweeps.command`."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GridConf:
    """The keys below `hydra.sweeper`, see `scaling.config.grid.Grid`."""

    _target_: str = "hydra_plugins.scaling.grid.GridSweeper"
    params: dict[str, Any] | None = field(default_factory=dict)  # key -> values to sweep
    pairs: Any = None  # a list of key -> values that go together
    exclude: Any = None  # a list of key -> value of the cells to leave out
    first: int | None = None  # keep this many values of each key not in the command


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="scaling")


class GridSweeper(Sweeper):
    """Cells of a grid, all checked before the first one trains."""

    def __init__(self, **grid: Any):
        self.grid = {key: value for key, value in grid.items() if value is not None}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.master = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from scaling.sweeps import command  # other Hydra apps need not pay for its imports

        assert self.launcher is not None
        loader = self.context.config_loader
        command.multirun(loader, self.master, arguments, self.grid, self.launcher)
