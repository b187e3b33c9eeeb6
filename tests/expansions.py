"""The cells that a command would train, expanded in this process, once for all tests."""

import functools
from collections.abc import Mapping
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from scaling.config import grid as grids
from scaling.config.cell import Cell
from scaling.config.folder import FOLDER


class Loader(ConfigLoaderImpl):
    """Hydra's, which composes each choice of options once for all tests."""

    def __init__(self) -> None:
        super().__init__(create_config_search_path(str(FOLDER)))
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def master(self, *arguments: str) -> DictConfig:
        """The config of a sweep, before its grid is expanded."""
        return self.load_configuration("config", list(arguments), RunMode.MULTIRUN)

    def load_sweep_config(self, master_config, sweep_overrides):
        key = (*master_config.hydra.overrides.hydra, *sweep_overrides)
        if key not in self.composed:
            self.composed[key] = super().load_sweep_config(master_config, sweep_overrides)
        return self.composed[key].copy()


@functools.cache
def _loader() -> tuple[Loader, DictConfig]:
    loader = Loader()
    return loader, loader.master()


def expand(*arguments: str, **grid: Any) -> list[Cell]:
    """Expand a grid of the packaged configs."""
    return _expanded(arguments, grid)


@functools.cache
def grid_of(*arguments: str) -> Mapping[str, Any]:
    """The grid of the experiment in a command."""
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        sweeper = _loader()[0].master(*arguments).hydra.sweeper
    grid = OmegaConf.to_container(sweeper)
    return {key: value for key, value in grid.items() if value is not None and key != "_target_"}


@functools.cache
def cells_of(*arguments: str) -> tuple[Cell, ...]:
    """Expand the grid of the experiment in a command; nothing is checked against built parts."""
    return tuple(_expanded(arguments, grid_of(*arguments)))


def first_cell(*arguments: str) -> Cell:
    """The cell of a command with the first value of every key."""
    (cell,) = _expanded(arguments, {**grid_of(*arguments), "first": 1})
    return cell


def _expanded(arguments: tuple[str, ...], grid: Mapping[str, Any]) -> list[Cell]:
    before = HydraConfig.instance().cfg
    try:
        with initialize_config_dir(str(FOLDER), version_base="1.3"):
            loader, master = _loader()
            return grids.expand(loader, master, list(arguments), grids.Grid(**grid))
    finally:
        HydraConfig.instance().cfg = before
