"""Every experiment, and every option of every group, composes and runs."""

import itertools
from pathlib import Path

import pytest
from expansions import cells_of, expand, grid_of
from flows import write_flows
from idx_files import a_set, write_set

from scaling import results
from scaling.config import schema
from scaling.config.folder import FOLDER
from scaling.contracts.metric import metric_of
from scaling.runs import run

GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
    for folder in sorted(FOLDER.iterdir())
    if folder.is_dir() and folder.name not in ("hydra", "experiment")
}
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options]
EXPERIMENTS = sorted(file.stem for file in (FOLDER / "experiment").glob("*.yaml"))
TOGETHER = (  # options of different groups, each run with all of its own
    "model=nano_transformer data=pydoc optimizer=adam schedule=constant logger=none",
    "data=markov optimizer=adamw schedule=warmup_cosine callbacks=layer_epochs logger=tensorboard",
    "data=random_tokens optimizer=sgd schedule=warmup_stable_decay callbacks=default",
    "data=text optimizer=sgd_momentum scale=tiny trainer=default",
    "data=wikitext2 scale=small",
    "model=mlp data=digits callbacks=noise_scale",
    "model=mlp data=mnist",
    "model=mlp data=idx",
    "model=two_layer data=injected callbacks=tail_shape",
    "data=tinyshakespeare",
    "model=gru data=flows",
    "model=tcn data=unsw_nb15",
    "model=tcn data=nsl_kdd",
    "model=tcn data=records",
    "model=tcn data=flows adaptation=entropy federation=default callbacks=adaptation match=passes",
    "model=tcn data=flows adaptation=information_maximisation federation=fedprox match=samples",
    "model=tcn data=flows adaptation=study federation=fedadam match=updates",
)
NEEDED = {
    "data=markov": ["data.sequences=64"],
    "data=random_tokens": ["data.sequences=64"],
    "data=text": ["data.path=data"],
    "data=wikitext2": ["data.path=data"],
    "data=idx": ["data.path=data", "data.val_examples=10"],
    "data=records": [
        *("data.path=data/flows.csv", "data.population.length=4"),
        "data.population.attack_records=2",
    ],
    "callbacks=tail_shape": ["callbacks.tail_shape.draws=10", "steps=10"],
    "data=tinyshakespeare": ["data.path=data"],
    "schedule=warmup_cosine": ["schedule.warmup_steps=2"],
    "schedule=warmup_stable_decay": ["schedule.warmup_steps=2"],
    "federation=default": ["federation.rounds=1"],
    "federation=fedprox": ["federation.rounds=1"],
    "federation=fedadam": ["federation.rounds=1"],
    "match=passes": ["steps=null", "epochs=1"],
    "match=samples": ["steps=null", "examples=64"],
}
HEADER = ("Question:", "Data:", "Command:", "Cost:", "Expected:")
ADAPTS = ("model=tcn", "data=flows", "adaptation=entropy")
SIZES = {"phase_2": 49, "phase_2_5": 20, "phase_3a": 10, "phase_3b": 9, "joint": 180}
STEPS = {"phase_2": 5000, "phase_2_5": 10_000, "phase_3a": 5000, "phase_3b": 5000, "joint": 5000}
PARAMETERS = {"phase_2": 200e3, "phase_2_5": 800e3, "phase_3a": 800e3, "phase_3b": 800e3}


def needs_files(name: str) -> bool:
    text = (FOLDER / "experiment" / f"{name}.yaml").read_text()
    named = ("/data: wikitext2", "data: unsw_nb15", "data: tinyshakespeare")
    return any(name in text for name in named)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_at_scale_tiny_and_reports(command, name, request):
    if needs_files(name):
        request.getfixturevalue("real_data")
    swept = grid_of(f"experiment={name}")
    others = set(swept["params"]) - {"seed"} or swept.get("pairs")
    one_seed = ["seed=0"] if others else []  # a second one would do the same again
    ended = command(f"experiment={name}", "scale=tiny", "workers=0", *one_seed, small=False)
    assert ended.code == 0, ended.err
    rows = results.read(Path("multirun", name))
    assert set(rows["status"]) == {"done"}
    assert 2 <= len(rows) <= 8
    assert set(results.layers(Path("multirun", name))["step"]) == {0}  # every 25 steps
    assert metric_of(rows).heading in ended.out


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_asks_and_what_it_costs(name):
    text = (FOLDER / "experiment" / f"{name}.yaml").read_text()
    for line in HEADER:
        assert f"# {line}" in text
    assert f"experiment={name}" in text


def test_the_quickstart_is_the_grid_that_the_readme_shows():
    seen = cells_of("experiment=quickstart")
    grid = sorted((cell.config["batch"], cell.config["lr"], cell.config["seed"]) for cell in seen)
    batches, lrs = (8, 16, 32, 64, 128), (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
    assert grid == list(itertools.product(batches, lrs, (0, 1, 2)))
    assert {cell.config["steps"] for cell in seen} == {150}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_as_large_as_it_says_and_a_smaller_scale_keeps_its_axes(name, request):
    if needs_files(name):
        request.getfixturevalue("real_data")
    full = cells_of(f"experiment={name}")
    header = (FOLDER / "experiment" / f"{name}.yaml").read_text()
    assert f"# Cost:     {len(full)} runs" in header
    if name in SIZES:
        assert len(full) == SIZES[name], "as published"
        assert {cell.config["steps"] for cell in full} == {STEPS[name]}, "as published"
    if name in PARAMETERS:
        assert parameters(full[0]) == pytest.approx(PARAMETERS[name], rel=0.1), "as published"

    scaled = (f"experiment={name}", "scale=small")
    assert grid(*scaled) == grid(f"experiment={name}")
    seed = full[0].config["seed"]  # a cell's seed does not change whether it is valid
    small = expand(*scaled, f"seed={seed}", **grid_of(*scaled))
    assert axes(small, name) == axes([c for c in full if c.config["seed"] == seed], name)
    assert len({schema.protocol(cell.config)[0] for cell in (*small, *full)}) == 1
    assert schema.protocol(small[0].config)[1] < schema.protocol(full[0].config)[1]


def parameters(cell) -> int:
    _, learner, _ = run._build(cell, Path(), bar=False)
    return sum(p.numel() for p in learner.parameters())


def grid(*arguments: str) -> dict:
    """The grid of an experiment."""
    found = dict(grid_of(*arguments))
    if "experiment=joint" in arguments:  # its clips are quantiles of the norms of a model
        found["params"] = found["params"] | {"clip": found["params"]["clip"].count(",")}
    return found


def axes(cells, name: str) -> list[tuple]:
    clips = sorted({cell.config["clip"] for cell in cells})
    return [
        (clips.index(c["clip"]) if name == "joint" else c["clip"], c["batch"], c["lr"], c["seed"])
        for c in (cell.config for cell in cells)
    ]


@pytest.mark.parametrize("options", TOGETHER)
def test_options_compose_and_run(command, folder, request, options):
    (folder / "data").mkdir()
    for name in ("train", "valid"):
        (folder / "data" / f"{name}.txt").write_text("To be, or not to be. " * 100)
    write_set(folder / "data", a_set())
    write_flows(folder / "data" / "flows.csv")
    if any(option in options for option in ("mnist", "unsw_nb15", "nsl_kdd")):
        request.getfixturevalue("real_data")
    chosen = options.split()
    ended = command(*arguments_of(chosen))
    assert ended.code == 0, ended.err + runs_without(chosen, command)
    (row,) = results.read("multirun").itertuples()
    assert row.status == "done"


def arguments_of(options: list[str]) -> list[str]:
    """The arguments of options, with what makes a run of each small or valid."""
    return [*options, *(key for option in options for key in NEEDED.get(option, []))]


def runs_without(options: list[str], command) -> str:
    """The options without which the others run, for the message of a failure."""
    fine = [o for o in options if command(*arguments_of([p for p in options if p != o])).code == 0]
    return f"; it runs without {' or '.join(fine) or 'none of its options'}"


def test_every_option_is_in_one_of_the_runs():
    chosen = [option for options in TOGETHER for option in options.split()]
    assert set(chosen) == {f"{group}={option}" for group, option in OPTIONS}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["data=markov", "data.vocabulary=1"], "data.vocabulary=1 must be at least 2"),
        (["model=mlp", "data=digits", "model.depth=0"], "model.depth=0 must be at least 1"),
        (
            ["model=mlp", "data=digits", "model.init=lecun"],
            "model.init=lecun must be one of xavier",
        ),
        (["model=mlp", "data=digits", "data.label_noise=1.5"], "data.label_noise=1.5 must lie in"),
        (["model=mlp", "data=digits", "batch=2000"], "batch=2000 exceeds the 1000 training"),
        (["model=mlp", "data=mnist", "data.path=."], "data.path: . has no train images, train la"),
        (["model.inputs=10"], "model.inputs is an unknown key"),
        (["+model.inputs=10"], "model.inputs=10 must be left out"),
        (["callbacks.layer_gradients.every=0"], "callbacks.layer_gradients.every=0 must be at"),
        (
            ["callbacks=tail_shape"],
            "callbacks.tail_shape.draws=50 must be at most 6, the optimizer steps of the run, or "
            "no window is complete; set callbacks.tail_shape.draws=10, and train for 10 steps or",
        ),
        (["schedule=warmup_cosine", "schedule.warmup_steps=7"], "is a warm-up of 7 steps in a run"),
        ([*ADAPTS, "batch=800"], "batch=800 exceeds the 750 windows of the query"),
        ([*ADAPTS, "batch=64", "data.growth=1024"], "data.growth=1024 exceeds the 750 windows"),
        ([*ADAPTS, "model.normalisation=none"], "adaptation.adapt=norm finds no normalisation"),
        ([*ADAPTS, "data=pydoc"], "adaptation needs data with a query, such as data=flows"),
        ([*ADAPTS, "data.train_on=source"], "data.train_on=source must be query with an adapt"),
        ([*ADAPTS, "~federation"], "adaptation needs a federation, such as federation=default"),
        ([*ADAPTS, "federation.rounds=0"], "federation.rounds=0 must be at least 1"),
        (
            [*ADAPTS, "data.population.clients=2000"],
            "data.population.clients=2000 must be at most data.population.client_windows=1500",
        ),
        ([*ADAPTS, "trainer.accumulate_grad_batches=2"], "accumulate_grad_batches=2 must be 1 on"),
        ([*ADAPTS, "trainer.precision=16-mixed"], "trainer.precision=16-mixed must be 32-true or"),
        ([*ADAPTS, "adaptation.lr_reference=0"], "adaptation.lr_reference=0 must be at least 1"),
        ([*ADAPTS, "+adaptation.net=3"], "adaptation.net=3 must be left out"),
        (
            [*ADAPTS, "adaptation.objective.margin=0.0"],
            "adaptation.objective.margin=0.0 must lie",
        ),
        ([*ADAPTS, "callbacks.early_stop.patience=0"], "callbacks.early_stop.patience=0 must be"),
        ([*ADAPTS[:2], "data.train_on=query"], "data.train_on=query needs an adaptation"),
        (
            [*ADAPTS[:2], "federation=default"],
            "federation trains the source model of an adaptation",
        ),
    ],
)
def test_an_invalid_combination_of_keys_is_one_message(command, folder, typed, said):
    ended = command(*typed)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not (folder / "multirun").exists()
