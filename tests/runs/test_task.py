"""What a run fits, from the command line to its row: windows with labels, or a query without."""

import re
from pathlib import Path

import pandas as pd
import pytest

from scaling import results
from scaling.config import schema
from scaling.datamodules.passes import Passes, doubling
from scaling.federation.training import Source
from scaling.reporting import caveats
from scaling.runs import task
from scaling.studies.adaptation import study
from scaling.sweeps import sweep

pytest_plugins = ("trained",)

FEW = (
    *("model=tcn", "data=flows", "steps=null", "federation.rounds=1", "lr=1e-3"),
    *("data.population.query_windows=48", "data.population.client_windows=100"),
    *("data.population.heldout_windows=40", "data.population.source_windows=40"),
    "data.population.best_windows=50",
)
HEAD = "adaptation.adapt=head"
STUDY = Path("multirun", "scratch")


def sources() -> list[Path]:
    return sorted(Path("multirun", ".sources").glob("*/source.pt"))


def test_folds_batches_and_learning_rates_share_a_source_and_seeds_do_not(command):
    ended = command(
        "-m", *FEW, "adaptation=entropy", "epochs=1", "batch=8,16", "data.fold=0,1", "lr=1e-3,1e-2"
    )
    assert ended.code == 0, ended.err
    assert len(sources()) == 1
    ended = command("-m", *FEW, "adaptation=entropy", "epochs=1", "seed=1")
    assert ended.code == 0, ended.err
    assert len(sources()) == 2
    rows = results.read(STUDY)
    before = rows[rows["seed"] == 0].groupby("fold")["before_source_loss"]
    assert (before.nunique() == 1).all()
    assert rows.groupby("fold")["before_query_loss"].nunique().tolist() == [2, 1]  # seed 1, fold 0
    assert rows[rows["seed"] == 0]["before_source_loss"].nunique() == 1


def test_the_row_of_an_adaptation_has_its_settings_and_results(command):
    ended = command(*FEW, "adaptation=study", HEAD, "epochs=3", "batch=16")
    assert ended.code == 0
    assert re.search(r"adapted   accuracy query [\d.]+ % -> [\d.]+ %, val .*, source ", ended.out)
    (row,) = results.read(STUDY).to_dict("records")
    assert row["status"] == "done"
    assert row["protocol"] == "epochs"
    for split in ("query", "val", "source"):
        for name in ("accuracy", "f1", "mcc", "loss"):
            assert f"{split}_{name}" in row
            assert f"before_{split}_{name}" in row
    assert row["steps"] == 9
    assert row["examples"] == 144
    assert row["windows_per_update"] == 16
    assert row["passes"] == 3
    assert row["oracle_query_accuracy"] >= max(row["query_accuracy"], row["before_query_accuracy"])
    assert row["query_windows"] == 48
    assert 0 < row["best_accuracy"] <= 1
    assert row["pass_seconds"] > 0
    assert row["federation_failures"] == row["skipped_updates"] == row["resets"] == 0
    assert row["parameters"] > row["adapted_parameters"] > 0
    rounds = results.rounds(STUDY)
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["answered"].tolist() == [0, row["clients"]]
    assert rounds["failures"].tolist() == ["", ""]
    assert rounds["source_loss"].iloc[-1] == pytest.approx(row["before_source_loss"], rel=1e-5)
    epochs = results.epochs(STUDY)
    assert epochs["passes"].tolist() == [0, 1, 2, 3]
    assert epochs["query_accuracy"].iloc[-1] == pytest.approx(row["query_accuracy"])
    assert epochs["query_accuracy"].iloc[0] == pytest.approx(row["before_query_accuracy"])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["model=tcn"], "model=tcn takes windows of measurements; choose data of windows"),
        (["model=gru", "data=markov"], "model=gru takes windows of measurements"),
        (["model=tcn", "data=flows", "federation.rounds=3"], "federation is null; set federation"),
    ],
)
def test_incompatible_keys_are_refused_before_anything_is_trained(command, typed, said):
    ended = command(*typed)
    assert ended.code == 2
    assert said in ended.err
    assert not Path("multirun").exists()


NORMALISED = ("adaptation=entropy", "model.normalisation=batch", "epochs=1")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["batch=1", "adaptation.statistics=batch"], "batch=1, so that batch normalisation has"),
        (
            ["batch=47", "adaptation.statistics=batch"],
            "batch=47 leaves 1 of the query's 48 windows to a last batch, so that batch normali",
        ),
        (["batch=8", "federation.batch=1"], "federation.batch=1, so that batch normalisation has"),
    ],
)
def test_statistics_of_a_single_window_are_refused(command, typed, said):
    ended = command(*FEW, *NORMALISED, *typed)
    assert ended.code == 2
    assert said in ended.err
    assert "single example; choose" in ended.err


@pytest.mark.parametrize("typed", [["adaptation.statistics=source"], ["batch=8"]])
def test_statistics_other_than_the_batchs_are_accepted(command, typed):
    assert command("dry_run=true", *FEW, *NORMALISED, "batch=1", *typed).code == 0


def test_an_adaptation_that_collapses_says_so_in_its_line_and_in_the_report(command):
    ended = command(
        *FEW, "adaptation=entropy", "epochs=30", "batch=8", "lr=0.3", "adaptation.adapt=all",
        "adaptation.objective.weight=0.0", "callbacks.early_stop.observe_only=true",
        "federation.rounds=5",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (row,) = results.read(STUDY).to_dict("records")
    assert row["status"] == "done"
    assert row["query_diversity"] < 0.5 * row["before_query_diversity"]
    said = re.search(
        r"warning   collapsed: accuracy on the query .* of its maximum; lower", ended.out
    )
    assert said
    assert caveats.sweep_caveats(results.read(STUDY))[0].startswith("Collapsed, 1 of 1 run: ")


def test_clients_that_failed_are_in_the_report_each_with_its_reasons():
    rounds = pd.DataFrame(
        {
            "run": ["a", "a", "b", "b"],
            "round": [1, 2, 1, 2],
            "failures": ["client 0: x; y; client 2: z", "client 0: x; y", "client 0: x; y", ""],
        }
    )
    assert list(study._failures(rounds)) == [
        "Warning: client 0 is missing from the average of round 1, 2 of the source of 2 runs: x; y",
        "Warning: client 2 is missing from the average of round 1 of the source of 1 run: z",
    ]
    assert list(study._failures(pd.DataFrame())) == []


def test_failed_clients_of_a_round_are_reported_with_their_reasons():
    failures = pd.DataFrame({"round": [1, 1, 2], "client": [0, 2, 2], "reason": ["x", "y", "z"]})
    said = task._failures(Source({}, pd.DataFrame(), failures))
    assert [said(i) for i in range(3)] == ["", "client 0: x; client 2: y", "client 2: z"]


@pytest.mark.parametrize(
    ("typed", "steps", "windows"),
    [
        (["epochs=2", "batch=20"], 6, [20, 20, 8, 20, 20, 8]),
        (["steps=4", "batch=20"], 4, [20, 20, 8, 20]),
        (["examples=60", "batch=20"], 4, [20, 20, 8, 20]),
        (
            ["epochs=3", "batch=12", "data.growth=24", "data.growth_passes=2"],
            8,
            [12, 12, 12, 12, 24, 24, 24, 24],
        ),
    ],
)
def test_every_duration_and_batch_reaches_the_updates(command, typed, steps, windows):
    assert command(*FEW, "adaptation=entropy", *typed).code == 0
    row = results.read(STUDY).iloc[0]
    assert row["steps"] == steps
    assert row["examples"] == sum(windows)
    assert results.steps(STUDY)["windows"].tolist() == windows


def test_nothing_is_trained_before_it_is_asked_for(command):
    assert command(*FEW, "adaptation=entropy", "epochs=1", "dry_run=true").code == 0
    assert not Path("multirun").exists()


def test_without_adaptation_the_windows_of_all_clients_are_trained_on(command):
    typed = [t for t in FEW if not t.startswith("federation")]
    assert command(*typed, "epochs=2", "batch=20").code == 0
    row = results.read(STUDY).iloc[0]
    assert row["steps"] == 10
    assert row["client_windows"] == 100
    assert {"val_accuracy", "test_accuracy"} <= set(row.dropna().index)
    assert not sources()


def test_a_stop_ends_a_run_unless_it_only_observes(command):
    typed = [*FEW, "adaptation=entropy", "epochs=6", "lr=1e-6", "callbacks.early_stop.least=1.0"]
    ended = command("-m", *typed, "callbacks.early_stop.after=2",
                    "callbacks.early_stop.observe_only=true,false")  # fmt: skip
    assert ended.code == 0, ended.err
    rows = results.read(STUDY).set_index("callbacks.early_stop.observe_only")
    assert rows["passes"].to_dict() == {True: 6, False: 3}
    assert (rows["stopped_pass"] == 3).all()
    assert (rows["stopped_by_collapse"] == 1).all()


ALONE = ("seed=0", "data.fold=0")  # of 3 seeds and 5 folds


@pytest.mark.parametrize(
    ("option", "key", "value", "typed"),
    [
        ("passes", "epochs", 50, ()),
        ("updates", "steps", 600, ALONE),
        ("samples", "examples", 37_500, ALONE),
    ],
)
def test_the_quantity_that_is_equal_for_all_batch_sizes_is_a_choice(
    command, asked, monkeypatch, option, key, value, typed
):
    monkeypatch.setattr(sweep, "train_cells", lambda cells, launcher: asked.extend(cells) or 0)
    assert command("experiment=ttt_batch", f"match={option}", *typed, small=False).code == 0
    assert {schema.protocol(cell.config) for cell in asked} == {(key, value)}
    groups = 1 if typed else 15
    assert len(asked) == 7 * groups
    grown = [cell for cell in asked if cell.config["data"]["growth"]]
    assert {(c.config["batch"], c.config["data"]["growth"]) for c in grown} == {(16, 64)}
    assert len(grown) == groups


def test_a_batch_that_would_not_grow_to_its_end_is_refused(command):
    grow = ("batch=8", "data.growth=32", "data.growth_passes=3", "adaptation=entropy")
    ended = command(*FEW, *grow, "steps=9")  # 6 updates of 8 windows, 3 of 16
    assert ended.code == 2
    assert "data.growth=32 is reached after 9 updates, but the run has 9" in ended.err
    assert command(*FEW, *grow, "steps=10").code == 0


@pytest.mark.parametrize("scale", [None, "small"])
@pytest.mark.parametrize("option", ["passes", "updates", "samples"])
def test_under_every_match_growing_batches_grow_to_the_end(
    command, asked, monkeypatch, option, scale
):
    monkeypatch.setattr(sweep, "train_cells", lambda cells, launcher: asked.extend(cells) or 0)
    typed = [f"match={option}", *ALONE, *([f"scale={scale}"] if scale else [])]
    assert command("experiment=ttt_batch", *typed, small=False).code == 0
    kinds = {"passes": "epochs", "updates": "steps", "samples": "examples"}
    assert {schema.protocol(cell.config)[0] for cell in asked} == {kinds[option]}
    (grown,) = {
        (cell.config["batch"], cell.config["data"]["growth"], cell.config["data"]["growth_passes"])
        for cell in asked if cell.config["data"]["growth"]
    }  # fmt: skip
    sizes = doubling(*grown)
    passes = Passes(lambda rows: (rows,), order=lambda _: None, windows=750, sizes=sizes)
    count = schema.protocol(asked[0].config)[1]
    updates = {"passes": passes.updates, "samples": passes.updates_for}.get(option, int)(count)
    assert updates > passes.updates(sizes.index(64))


def test_a_federation_without_its_packages_is_refused_before_anything(command, monkeypatch):
    monkeypatch.setitem(task.EXTRAS, "in_process", {"no_such_package": "federated"})
    ended = command(*FEW, "adaptation=entropy", "epochs=1")
    assert ended.code == 2
    assert "needs no_such_package, which is not installed; pip install '.[fed" in ended.err
    assert not Path("multirun").exists()


@pytest.mark.parametrize("more", [[], ["adaptation=entropy"]])
def test_a_model_of_vectors_is_refused_windows(command, more):
    ended = command("model=mlp", "data=flows", *more, small=False)
    assert ended.code == 2
    assert "model=mlp takes one vector per example, not 30 in a row" in ended.err
    assert not Path("multirun").exists()


def test_an_adaptation_that_diverges_is_a_result(command):
    ended = command(*FEW, "adaptation=study", "epochs=3", "lr=1e30", "clip=inf", "optimizer=sgd")
    assert ended.code == 0, ended.err
    row = results.read(STUDY).iloc[0]
    assert row["status"] == "diverged"
    assert row["before_query_accuracy"] > 0
