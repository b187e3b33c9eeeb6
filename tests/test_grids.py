"""A grid becomes the cells that Hydra itself would compose, each once."""

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from scaling import cells, config, grids


@pytest.fixture(autouse=True)
def own_hydra_config():
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before


def expand(*arguments: str, **grid) -> list[cells.Cell]:
    loader = ConfigLoaderImpl(create_config_search_path(str(config.FOLDER)))
    with initialize_config_dir(str(config.FOLDER), version_base="1.3"):
        master = loader.load_configuration("config", list(arguments), RunMode.MULTIRUN)
        return grids.expand(loader, master, list(arguments), grids.Grid(**grid))


def points(made: list[cells.Cell], *keys: str) -> list[tuple]:
    return [tuple(cell.config[key] for key in keys) for cell in made]


def test_a_grid_is_the_product_of_its_keys_in_their_order():
    made = expand("batch=8,16", "lr=1e-3,1e-2")
    assert points(made, "batch", "lr") == [(8, 0.001), (8, 0.01), (16, 0.001), (16, 0.01)]
    assert len({cell.digest for cell in made}) == 4


def test_cells_are_composed_as_hydra_composes_them():
    arguments = ["model.dropout=0.1", "optimizer=adamw,sgd", "model.layers=1,2", "clip=null,1.0"]
    for cell in expand(*arguments):
        with initialize_config_dir(str(config.FOLDER), version_base="1.3"):
            alone = compose("config", list(cell.overrides))
        assert cell.config == OmegaConf.to_container(alone, resolve=True)


def test_equal_cells_appear_once():
    assert len(expand("lr=1e-3,0.001,1.0e-3")) == 1
    assert len(expand("clip=inf,null")) == 1
    assert len(expand("batch=8,16,8")) == 2


def test_typed_values_replace_those_of_an_experiment():
    params = {"batch": "8,16", "lr": [1e-3, 1e-2]}
    assert points(expand(params=params), "batch", "lr") == [
        (8, 0.001), (8, 0.01), (16, 0.001), (16, 0.01),
    ]  # fmt: skip
    made = expand("lr=1.0", "seed=0,1", params=params)
    assert points(made, "batch", "lr", "seed") == [
        (8, 1.0, 0),
        (8, 1.0, 1),
        (16, 1.0, 0),
        (16, 1.0, 1),
    ]


def test_only_the_first_values_of_every_key_are_kept():
    made = expand("seed=5,6,7", params={"lr": "1e-4,1e-3,1e-2"}, first=2)
    assert points(made, "lr", "seed") == [(1e-4, 5), (1e-4, 6), (1e-3, 5), (1e-3, 6)]


def test_the_folder_says_what_is_typed_all_day():
    (cell,) = expand("study=here", "batch=32", "lr=1e-3", "clip=inf")
    name = f"batch=32,lr=0.001,clip=inf,seed=0-{cell.digest}"
    assert str(cell.folder) == f"multirun/here/{name}"


def test_one_bad_value_stops_the_whole_grid():
    with pytest.raises(ValueError, match="lr=-1.0 must be positive"):
        expand("lr=1e-3,-1.0", "batch=8,16")


def test_an_interval_is_no_grid():
    with pytest.raises(ValueError, match="is an interval; a grid needs values"):
        expand("lr=interval(0.1,0.2)")


def test_several_experiments_are_refused():
    with pytest.raises(ValueError, match="experiment can only be one"):
        expand("experiment=quickstart,null")


def test_an_added_root_key_is_refused():
    with pytest.raises(ValueError, match="new is an unknown key"):
        expand("+new=1,2")
