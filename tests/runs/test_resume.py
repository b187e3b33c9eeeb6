"""A killed run resumes and ends bit-identical to one that was not interrupted.

`make survive` sets SCALING_KILLS=10, for deaths in more orders.
"""

import os
from pathlib import Path

import pandas as pd
import pytest
import torch

from scaling import results
from scaling.runs import run
from scaling.storage.rows import write_row
from scaling.sweeps import sweep

pytest_plugins = ("trained",)

EVERY_ORDER = int(os.environ.get("SCALING_KILLS", "1")) >= 10
TIMES = (  # taken with a clock
    *("seconds", "statistics_percent", "layer_statistics_percent"),
    "layer_epoch_statistics_percent",
)
COSTS = ["pass_seconds", "pass_memory_mib"]
STUDY = Path("multirun", "scratch")
ALWAYS = (
    *("save_every=0", "model.dropout=0.2", "callbacks.gradient_norms.flush_every=4"),
    *("callbacks.layer_gradients.every=2", "callbacks.layer_gradients.flush_every=2"),
    *("callbacks=layer_epochs", "callbacks.layer_epochs.flush_every=3"),
    *("data=text", "data.path=text.txt"),
)
ALWAYS_MLP = (
    *("save_every=0", "data=digits", "data.label_noise=0.4", "callbacks.layer_gradients.every=2"),
    *("callbacks.layer_gradients.flush_every=2", "callbacks.gradient_norms.flush_every=4"),
    *("callbacks=layer_epochs", "callbacks.layer_epochs.flush_every=3"),
)
ALWAYS_ADAPTING = (
    *("save_every=0", "data=flows", "callbacks.layer_gradients.every=2"),
    *("callbacks.layer_gradients.flush_every=2", "callbacks.gradient_norms.flush_every=4"),
    "+callbacks.layer_epochs._target_=scaling.callbacks.layer_epochs.LayerEpochs",
    "+callbacks.layer_epochs.flush_every=3",
    *(
        "callbacks.query_gradient.every=1",
        "federation.rounds=1",
        "data.population.query_windows=48",
    ),
    *("data.population.client_windows=100", "data.population.heldout_windows=40"),
    *("data.population.source_windows=40", "data.population.best_windows=50"),
)


class Killed(BaseException):
    """Raised by a test in place of a kill by the system."""


@pytest.fixture
def deaths(monkeypatch):
    """Steps before which a run dies, each once; the weights with which a run ended.

    A negative step is one after which it dies while it validates.
    """
    from scaling.adaptation.module import Adapter
    from scaling.models.learner import Learner

    steps, ended = [], []
    begin = {kind: kind.on_train_batch_start for kind in (Adapter, Learner)}
    end = run._fit

    def dying(self, batch, batch_idx):
        if steps and self.trainer.global_step == steps[0]:
            steps.pop(0)
            raise Killed
        begin[type(self)](self, batch, batch_idx)

    def dying_late(self):
        if steps and -self.trainer.global_step == steps[0]:
            steps.pop(0)
            raise Killed

    def fit(cell, folder, *rest):
        build = run._build

        def built(*arguments):
            parts = build(*arguments)
            ended.append(parts[1])
            return parts

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "_build", built)
            return end(cell, folder, *rest)

    def no_row(row, folder):
        if row.error and "Killed" in row.error:
            raise Killed
        write_row(row, folder)

    for kind in begin:
        monkeypatch.setattr(kind, "on_train_batch_start", dying)
        monkeypatch.setattr(kind, "on_validation_start", dying_late, raising=False)
    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "write_row", no_row)
    return steps, ended


def typed(*arguments: str) -> tuple[str, ...]:
    """These arguments, and those that all runs of their model have."""
    own = {"model=mlp": ALWAYS_MLP, "model=tcn": ALWAYS_ADAPTING}
    return *next((own[argument] for argument in arguments if argument in own), ALWAYS), *arguments


def write_text() -> None:
    Path("text.txt").write_text("To be, or not to be, that is the question. " * 22)  # 946


def outcome(ended):
    """Weights, tables and row of the run in the current directory."""
    weights = [tensor.clone() for tensor in ended[-1].state_dict().values()]
    row = results.read(STUDY).drop(columns=list(TIMES)).drop(columns=COSTS, errors="ignore")
    reads = (results.steps, results.epochs, results.layers, results.layer_epochs)
    tables = [read(STUDY).drop(columns=COSTS, errors="ignore") for read in reads]
    assert all(len(table) for table in tables)
    return weights, *tables, row


def resumed(cell, deaths, at: list[int]):
    """The outcome of a cell that died before each of these steps and was resumed."""
    steps, ended = deaths
    steps[:] = at
    for _ in at:
        with pytest.raises(Killed):
            sweep.train_cells([cell], launcher=None)
    assert sweep.train_cells([cell], launcher=None) == 0
    assert not steps
    return outcome(ended)


CASES = {
    "adamw": ["steps=9"],
    "sgd with momentum": ["steps=9", "optimizer=sgd", "optimizer.momentum=0.9"],
    "accumulation": ["steps=9", "trainer.accumulate_grad_batches=4"],
    "epochs": ["steps=null", "epochs=3", "batch=16"],  # of 3 steps each
    "an end in the middle of an epoch": ["steps=8", "batch=16"],
    "epochs of one step": ["steps=null", "epochs=5", "batch=40"],
    "adaptation": [
        *("model=tcn", "adaptation=study", "steps=null", "epochs=3"),  # of 3 steps each
        *("adaptation.reset_above=0.1", "adaptation.pull=0.1", "batch=16"),
        *("model.normalisation=batch", "adaptation.statistics=query"),
    ],
    "a batch that grows, and its own statistics": [
        *("model=tcn", "adaptation=information_maximisation", "model.normalisation=batch"),
        *("adaptation.statistics=batch", "adaptation.lr_rule=sqrt", "steps=null", "epochs=3"),
        *("batch=8", "data.growth=16", "data.growth_passes=2"),  # of 6, 3 and 3 steps
    ],
    "images": ["model=mlp", "steps=null", "epochs=3", "batch=300"],  # of 3 steps each
}


def orders(total: int, case: str) -> list[list[int]]:
    """Steps at which a run of `total` steps dies, one run after another."""
    if not EVERY_ORDER:
        return [[1, 2, total - 1, -total]]
    few = [[1], [3], [total - 1], [1, -total]]
    if "model=tcn" in CASES[case]:  # which trains a source each time
        return few
    return [*few, [2], [-total], [1, 2], [2, 4]]


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_ends_as_if_it_had_not_been_interrupted(
    command, asked, deaths, case, tmp_path, monkeypatch
):
    write_text()
    assert command(*typed(*CASES[case])).code == 0
    alone = outcome(deaths[1])
    (cell,) = asked
    for at in orders(len(alone[1]), case):
        place = tmp_path / str(at)
        place.mkdir()
        monkeypatch.chdir(place)
        write_text()
        killed = resumed(cell, deaths, at)
        for a, b in zip(alone[0], killed[0], strict=True):
            assert torch.equal(a, b), at
        for a, b in zip(alone[1:], killed[1:], strict=True):
            pd.testing.assert_frame_equal(a, b)
        assert not list(STUDY.rglob("*.ckpt"))
