"""A grid becomes the cells that Hydra would compose, without duplicates."""

import pytest
from expansions import expand
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scaling.config import cell as cells
from scaling.config.folder import FOLDER


def points(made: list[cells.Cell], *keys: str) -> list[tuple]:
    return [tuple(cell.config[key] for key in keys) for cell in made]


def test_a_grid_is_the_product_of_its_keys_in_their_order():
    made = expand("batch=8,16", "lr=1e-3,1e-2")
    assert points(made, "batch", "lr") == [(8, 0.001), (8, 0.01), (16, 0.001), (16, 0.01)]
    assert len({cell.digest for cell in made}) == 4


def test_cells_are_composed_as_hydra_composes_them():
    arguments = ["model.dropout=0.1", "optimizer=adamw,sgd", "model.layers=1,2", "clip=null,1.0"]
    for cell in expand(*arguments):
        with initialize_config_dir(str(FOLDER), version_base="1.3"):
            alone = compose("config", list(cell.overrides))
        assert cell.config == OmegaConf.to_container(alone, resolve=True)
        assert cell.composed == OmegaConf.to_container(alone)
        assert cell.digest == cells.make_cell(alone, [], {}).digest


def test_a_mapping_of_one_cell_is_not_merged_into_the_next():
    typed = "+callbacks.tail_shape.groups={first: a},{second: b},{}"
    made = expand("callbacks=tail_shape", typed, "lr=0.1,0.2")
    groups = [cell.config["callbacks"]["tail_shape"]["groups"] for cell in made]
    assert groups == [{"first": "a"}] * 2 + [{"second": "b"}] * 2 + [{}] * 2
    assert [cell.config["lr"] for cell in made] == [0.1, 0.2] * 3


def test_an_experiment_may_list_lists_mappings_and_any_text():
    made = expand("optimizer=adam", params={"optimizer.betas": [[0.9, 0.95], [0.8, 0.9]]})
    typed = expand("optimizer=adam", "optimizer.betas=[0.9,0.95],[0.8,0.9]")
    assert [cell.digest for cell in made] == [cell.digest for cell in typed]
    values = [{"first": 'é, "1"'}, {"first": "a\\d$", "second": "null"}, {}]
    made = expand("callbacks=tail_shape", params={"+callbacks.tail_shape.groups": values})
    assert [cell.config["callbacks"]["tail_shape"]["groups"] for cell in made] == values


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


def test_only_the_first_values_of_every_key_that_is_not_typed_are_kept_and_this_is_reported(caplog):
    caplog.set_level("INFO")
    made = expand("seed=5,6,7", params={"lr": "1e-4,1e-3,1e-2"}, first=2)
    assert points(made, "lr", "seed") == [
        (lr, seed) for lr in (1e-4, 1e-3) for seed in (5, 6, 7)
    ]  # fmt: skip
    said = "hydra.sweeper.first=2 keeps the first values of lr (2 of 3); typed values are all kept"
    assert said in caplog.text
    caplog.clear()
    typed = expand("lr=1e-4,1e-3,1e-2", params={"lr": "1e-1,1,10"}, first=1)
    assert len(typed) == 3
    assert not caplog.text


def test_the_cells_that_a_rule_leaves_out_are_counted(caplog):
    caplog.set_level("INFO")
    expand("batch=8,16", "lr=1e-3,1e-2", exclude=[{"batch": 8, "lr": 0.001}, {"batch": 3}])
    assert "left out 1 of 4 cells with {'batch': 8, 'lr': 0.001}" in caplog.text
    assert "no cell has {'batch': 3}" in caplog.text


def test_a_rule_meets_the_numbers_that_a_grid_makes():
    made = expand("lr=range(0.1,0.45,0.1)", exclude=[{"lr": 0.3}])
    assert points(made, "lr") == [(0.1,), (0.2,), (0.4,)]


def test_the_folder_name_has_the_usual_keys():
    (cell,) = expand("study=here", "batch=32", "lr=1e-3", "clip=inf")
    name = f"batch=32,lr=0.001,clip=inf,seed=0-{cell.digest}"
    assert str(cell.folder) == f"multirun/here/{name}"


def test_one_bad_value_stops_the_whole_grid():
    with pytest.raises(ValueError, match="lr=-1.0 must be positive"):
        expand("lr=1e-3,-1.0", "batch=8,16")


def test_an_interval_is_not_a_grid():
    with pytest.raises(ValueError, match="is an interval; a grid needs values"):
        expand("lr=interval(0.1,0.2)")


def test_several_experiments_are_refused():
    with pytest.raises(ValueError, match="only one experiment"):
        expand("experiment=quickstart,null")


def test_an_added_root_key_is_refused():
    with pytest.raises(ValueError, match="new is an unknown key"):
        expand("+new=1,2")


PHASE_3B = {
    "params": {"clip": "0.01,0.1,1,10,inf"},
    "pairs": [{"batch": [32, 256], "lr": [0.001, 0.05]}],
    "exclude": [{"batch": 256, "clip": 0.01}],
}


def test_pairs_and_exclusions_give_the_nine_runs_of_phase_3b():
    made = points(expand(**PHASE_3B), "batch", "lr", "clip")
    inf = float("inf")
    assert made == [
        *((32, 0.001, clip) for clip in (0.01, 0.1, 1.0, 10.0, inf)),
        *((256, 0.05, clip) for clip in (0.1, 1.0, 10.0, inf)),
    ]


def test_a_pair_can_be_written_as_on_the_command_line():
    pairs = [{"batch": "8,16", "lr": "1e-3,1e-2"}]
    assert points(expand(pairs=pairs), "batch", "lr") == [(8, 0.001), (16, 0.01)]


def test_several_pairs_are_crossed_and_cut_like_other_keys():
    pairs = [{"batch": [8, 16, 32], "lr": [1e-3, 2e-3, 4e-3]}, {"seed": [0, 1], "clip": [1, 2]}]
    made = points(expand(pairs=pairs, first=2), "batch", "lr", "seed", "clip")
    assert made == [(8, 1e-3, 0, 1), (8, 1e-3, 1, 2), (16, 2e-3, 0, 1), (16, 2e-3, 1, 2)]


def test_a_typed_key_is_removed_from_its_pair():
    pairs = [{"batch": [8, 16], "lr": [1e-3, 1e-2], "seed": [5, 6]}]
    made = points(expand("lr=0.5,0.7", pairs=pairs), "batch", "seed", "lr")
    assert made == [(8, 5, 0.5), (8, 5, 0.7), (16, 6, 0.5), (16, 6, 0.7)]
    assert points(expand("lr=0.5", "batch=4", pairs=pairs), "lr", "batch", "seed") == [
        (0.5, 4, 5),
        (0.5, 4, 6),
    ]


def test_groups_can_be_in_pairs_and_in_exclusions():
    pairs = [{"optimizer": ["adamw", "sgd"], "lr": [1e-3, 1e-1]}]
    made = expand("seed=0,1", pairs=pairs, exclude=[{"optimizer": "sgd", "seed": 1}])
    found = [(c.choices["optimizer"], c.config["lr"], c.config["seed"]) for c in made]
    assert found == [("adamw", 1e-3, 0), ("adamw", 1e-3, 1), ("sgd", 0.1, 0)]
    targets = {c.config["optimizer"]["_target_"] for c in made}
    assert len(targets) == 2


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"clip": None}, 2),
        ({"clip": "inf"}, 2),
        ({"clip": float("inf")}, 2),
        ({"clip": 1}, 2),
        ({"lr": [1e-3, 0.5]}, 2),
        ({"lr": "1e-3"}, 2),
        ({"model.layers": 99}, 4),
    ],
)
def test_an_exclusion_compares_values(rule, left):
    assert len(expand("clip=1.0,null", "lr=1e-3,1e-2", exclude=[rule])) == left


def test_an_exclusion_spares_a_cell_that_would_be_refused():
    made = expand("batch=8,100000", "lr=1e-3", exclude=[{"batch": 100000}])
    assert points(made, "batch") == [(8,)]


def test_an_exclusion_that_matches_nothing_is_reported(caplog):
    with caplog.at_level("INFO"):
        expand("batch=8,16", exclude=[{"batch": 64}])
    assert "no cell has {'batch': 64}" in caplog.text


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"exclude": [{"batch": [8, 16]}]}, "exclude removes all 2 cells"),
        ({"exclude": [{"btch": 8}]}, "exclude: btch is an unknown key"),
        ({"exclude": [8]}, "exclude=.* must be a list of mappings"),
        ({"exclude": [{}]}, "exclude=.* must be a list of mappings"),
        ({"pairs": [[8, 1e-3]]}, "pairs=.* must be a list of mappings"),
        ({"pairs": [{"lr": [1, 2], "seed": [1, 2, 3]}]}, "lr has 2, seed has 3"),
        ({"first": 0}, "first=0 must be at least 1"),
        ({"exclude": {"batch": 8}}, "exclude=.* must be a list of mappings"),
        ({"params": {"lr": "1,2"}, "pairs": [{"lr": "1,2"}]}, "lr is swept twice"),
        ({"pairs": [{"lr": "1,2", "seed": "1,2"}, {"lr": "3"}]}, "lr is swept twice"),
        ({"pairs": [{"lr": [], "seed": []}]}, "pairs: lr has no values"),
        ({"exclude": [{"optimizer": "sdg"}]}, "optimizer=sdg must be one of"),
        ({"exclude": [{"clip": "foo"}]}, "clip=foo must be a number"),
        ({"exclude": [{"lr": ">1e-3"}]}, "lr=>1e-3 must be a number"),
    ],
)
def test_an_invalid_grid_is_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        expand("batch=8,16", **grid)


def test_a_rule_may_name_a_list(caplog):
    caplog.set_level("INFO")
    grid = ("optimizer.betas=[0.9,0.99],[0.9,0.95]",)
    for rule in ([0.9, 0.99], [[0.9, 0.99], [0.1, 0.2]]):
        made = expand(*grid, exclude=[{"optimizer.betas": rule}])
        assert [cell.config["optimizer"]["betas"] for cell in made] == [[0.9, 0.95]]
