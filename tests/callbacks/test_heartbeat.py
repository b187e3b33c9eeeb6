"""Heartbeats: the progress of a run, written at a limited rate."""

import time

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

from scaling.callbacks.heartbeat import Heartbeat
from scaling.storage import heartbeats


def fit(folder, *callbacks, steps=6):
    trainer = L.Trainer(
        max_steps=steps, callbacks=list(callbacks), logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, limit_val_batches=0,
    )  # fmt: skip
    module = BoringModel()
    trainer.fit(module)
    return module


def test_beats_say_how_far_a_run_is(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(heartbeats, "write", lambda folder, **said: seen.append(said))
    fit(tmp_path, Heartbeat(tmp_path, seconds=0.0))
    assert [said["step"] for said in seen] == [0, 1, 2, 3, 4, 5, 6]
    assert {said["steps"] for said in seen} == {6}
    assert seen[0]["speed"] is None
    assert all(said["speed"] > 0 for said in seen[1:])


def test_beats_come_no_more_often_than_asked(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(heartbeats, "write", lambda folder, **said: seen.append(said))
    fit(tmp_path, Heartbeat(tmp_path, seconds=60.0))
    assert len(seen) == 1


def test_a_heartbeat_leaves_the_weights_as_they_are(tmp_path):
    weights = []
    for callbacks in ([], [Heartbeat(tmp_path, seconds=0.0)]):
        L.seed_everything(3, verbose=False)
        weights.append(fit(tmp_path, *callbacks).state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_beat_is_read_as_it_was_written_and_ends(tmp_path):
    assert heartbeats.read(tmp_path) is None
    start = time.time()
    heartbeats.write(tmp_path, step=3, steps=10, speed=2.5)
    beat = heartbeats.read(tmp_path)
    assert (beat.step, beat.steps, beat.speed) == (3, 10, 2.5)
    assert start <= beat.time <= time.time()
    heartbeats.end(tmp_path)
    heartbeats.end(tmp_path)
    assert heartbeats.read(tmp_path) is None


@pytest.mark.parametrize("rubbish", ["", "{", "[1]", '{"step": 1}', '{"unknown": 2}'])
def test_a_damaged_beat_is_ignored(tmp_path, rubbish):
    (tmp_path / heartbeats.FILE).write_text(rubbish)
    assert heartbeats.read(tmp_path) is None


def test_a_beat_that_cannot_be_written_does_not_end_the_run(tmp_path):
    heartbeats.write(tmp_path / "nowhere", step=1)
