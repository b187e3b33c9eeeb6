"""A run that was killed goes on and ends bit-identical to one that was left alone."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from scaling import results, train

TIMES = (  # taken with a clock
    *("seconds", "statistics_percent", "layer_statistics_percent"),
    "layer_epoch_statistics_percent",
)
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


class Killed(BaseException):
    """What a test throws where the system would kill the process."""


@pytest.fixture
def deaths(monkeypatch):
    """Steps before which a run dies, each once; the weights with which a run ended.

    A negative step is one after which it dies while it validates.
    """
    from scaling.models.learner import Learner

    steps, ended = [], []
    begin, end = Learner.on_train_batch_start, train._fit

    def dying(self, batch, batch_idx):
        if steps and self.trainer.global_step == steps[0]:
            steps.pop(0)
            raise Killed
        begin(self, batch, batch_idx)

    def dying_late(self):
        if steps and -self.trainer.global_step == steps[0]:
            steps.pop(0)
            raise Killed

    def fit(cell, folder, *rest):
        build = train._build

        def built(*arguments):
            parts = build(*arguments)
            ended.append(parts[1])
            return parts

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "_build", built)
            return end(cell, folder, *rest)

    def no_row(row, folder):
        if row.error and "Killed" in row.error:
            raise Killed
        write(row, folder)

    write = results.write
    monkeypatch.setattr(Learner, "on_train_batch_start", dying)
    monkeypatch.setattr(Learner, "on_validation_start", dying_late, raising=False)
    monkeypatch.setattr(train, "_fit", fit)
    monkeypatch.setattr(results, "write", no_row)
    return steps, ended


def outcome(command, deaths, at: list[int], *arguments: str):
    """Weights, tables and row of a run that died before each of these steps and was resumed."""
    always = ALWAYS_MLP if "model=mlp" in arguments else ALWAYS
    Path("text.txt").write_text("To be, or not to be, that is the question. " * 22)  # 946
    steps, ended = deaths
    steps[:] = at
    for _ in range(len(at)):
        with pytest.raises(Killed):
            command(*always, *arguments)
    assert command(*always, *arguments).code == 0
    assert not steps
    weights = [parameter.clone() for parameter in ended[-1].parameters()]
    row = results.read(STUDY).drop(columns=list(TIMES))
    reads = (results.steps, results.epochs, results.layers, results.layer_epochs)
    tables = [read(STUDY) for read in reads]
    assert all(len(table) for table in tables)
    return weights, *tables, row


CASES = {
    "adamw": ["steps=9"],
    "sgd with momentum": ["steps=9", "optimizer=sgd", "optimizer.momentum=0.9"],
    "accumulation": ["steps=9", "trainer.accumulate_grad_batches=4"],
    "epochs": ["steps=null", "epochs=3", "batch=16"],  # of 3 steps each
    "an end in the middle of an epoch": ["steps=8", "batch=16"],
    "epochs of one step": ["steps=null", "epochs=5", "batch=40"],
    "images": ["model=mlp", "steps=null", "epochs=3", "batch=300"],  # of 3 steps each
}


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_ends_as_if_left_alone(command, deaths, case, tmp_path, monkeypatch):
    alone = outcome(command, deaths, [], *CASES[case])
    total = len(alone[1])
    for at in ([1], [2], [3], [total - 1], [-total], [1, 2], [2, 4], [1, -total]):
        place = tmp_path / str(at)
        place.mkdir()
        monkeypatch.chdir(place)
        killed = outcome(command, deaths, at, *CASES[case])
        for a, b in zip(alone[0], killed[0], strict=True):
            assert torch.equal(a, b), at
        for a, b in zip(alone[1:], killed[1:], strict=True):
            pd.testing.assert_frame_equal(a, b)
        assert not list(STUDY.rglob("*.ckpt"))
