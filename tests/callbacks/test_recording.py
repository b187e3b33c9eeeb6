"""A new statistic is a table's name and a method `measure`; the base class does the rest."""

from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import fit, module, text

import scaling
from scaling.callbacks.layer_gradients import LayerGradients
from scaling.callbacks.recording import Recording
from scaling.reporting import build
from scaling.storage.tables import read_parts


def learner():
    return module(partial(torch.optim.SGD, lr=0.5))


def record_totals(command) -> None:
    """Train a run that records the table `total`."""
    conf = Path("conf", "callbacks")
    conf.mkdir(parents=True)
    (conf / "totals.yaml").write_text(
        "total:\n  _target_: test_recording.Total\n  flush_every: 3\n"
    )
    assert command("--config-dir=conf", "callbacks=totals").code == 0


class GradientMeans(Recording):
    """As in the docstring of `Recording`."""

    table = "gradient_means"

    def before(self, step):
        self.mean, _ = step.spread

    def measure(self, step):
        return {"mean": self.mean}


class Total(Recording):
    """A number per step."""

    table = "total"
    per_tensor = False

    def measure(self, step):
        return {"norm": torch.linalg.vector_norm(step.norms)}


def test_a_table_with_a_row_per_tensor_is_one_method(tmp_path):
    fit(
        learner(),
        text(),
        tmp_path,
        [GradientMeans(flush_every=5), LayerGradients(every=1, flush_every=3)],
    )
    got, want = read_parts(tmp_path / "gradient_means"), read_parts(tmp_path / "layers")
    assert list(got) == ["step", "epoch", "layer", "kind", "size", "mean"]
    pd.testing.assert_frame_equal(
        got.drop(columns="mean"), want[["step", "epoch", "layer", "kind", "size"]]
    )
    np.testing.assert_array_equal(got["mean"], want["grad_mean"])


def test_a_table_with_a_row_per_step_is_one_method(tmp_path):
    fit(
        learner(),
        text(),
        tmp_path,
        [Total(flush_every=4, every=2), LayerGradients(every=2, flush_every=3)],
    )
    got, layers = read_parts(tmp_path / "total"), read_parts(tmp_path / "layers")
    assert list(got) == ["step", "epoch", "norm"]
    norms = layers.groupby("step")["grad_norm"].agg(lambda norms: np.sqrt((norms**2).sum()))
    np.testing.assert_allclose(got.set_index("step")["norm"], norms, rtol=1e-6)


def test_a_resumed_run_continues_the_table(tmp_path):
    whole, parts = Total(flush_every=5), Total(flush_every=5)
    fit(learner(), text(), tmp_path / "whole", [whole])
    fit(learner(), text(), tmp_path / "parts", [parts], max_steps=6)
    state = parts.state_dict()
    assert state["rows"] == 6
    again = Total(flush_every=5)
    again.load_state_dict(state)
    fit(learner(), text(), tmp_path / "parts", [again])
    assert len(read_parts(tmp_path / "parts" / "total")) == 6 + len(
        read_parts(tmp_path / "whole" / "total")
    )


def test_its_cost_is_a_column(tmp_path):
    callback = Total(flush_every=5)
    assert callback.columns() == {}
    fit(learner(), text(), tmp_path, [callback])
    assert 0 < callback.columns()["total_percent"] < 100


def test_any_table_of_runs_is_read_by_its_name(command):
    record_totals(command)
    table = scaling.table("total", "multirun")
    assert table["step"].tolist() == list(range(6))
    assert list(table) == ["study", "run", "step", "epoch", "norm"]


def test_a_statistic_without_measure_says_so():
    class Nothing(Recording):
        table = "nothing"

    with pytest.raises(TypeError, match="abstract.* measure"):
        Nothing(flush_every=1)


def test_a_statistic_without_a_table_says_so():
    class Nameless(Recording):
        def measure(self, step):
            return {"norm": step.norms}

    with pytest.raises(ValueError, match="Nameless has no `table`"):
        Nameless(flush_every=1)


@pytest.mark.parametrize("bad", [{"flush_every": 0}, {"flush_every": 1, "every": 0}])
def test_an_interval_below_one_step_is_refused(bad):
    with pytest.raises(ValueError, match="=0 must be at least 1"):
        Total(**bad)


class Again(Total):
    """Another statistic of the same table."""


@pytest.mark.parametrize("table", ["total", "epochs"])
def test_a_table_that_another_callback_writes_is_refused(tmp_path, table, monkeypatch):
    monkeypatch.setattr(Again, "table", table)
    with pytest.raises(ValueError, match=f"the table {table} of .* has another writer; rename it"):
        fit(learner(), text(), tmp_path, [Again(flush_every=1), Total(flush_every=1)])


def test_a_number_named_like_a_column_of_every_table_is_refused(tmp_path):
    class Steps(Recording):
        table = "mine"

        def measure(self, step):
            return {"step": step.norms}

    with pytest.raises(ValueError, match="Steps measures step; rename that number"):
        fit(learner(), text(), tmp_path, [Steps(flush_every=1)])


def test_an_export_has_it(tmp_path, command):
    record_totals(command)
    build.export([tmp_path / "multirun"], tmp_path / "exported")
    exported, table = (scaling.table("total", folder) for folder in ("exported", "multirun"))
    assert len(exported) == 6
    np.testing.assert_allclose(exported["norm"], table["norm"], rtol=1e-4)  # five digits are kept


def test_a_clip_that_changes_during_a_fit_is_that_of_each_step(tmp_path):
    class Loosen(L.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            trainer.gradient_clip_val = 0.01 * (1 + trainer.global_step)

    norms = scaling.GradientNorms(flush_every=5)
    fit(learner(), text(), tmp_path, [norms, Loosen()], gradient_clip_val=0.01)
    steps = read_parts(tmp_path / "steps")
    clips = 0.01 * (1 + steps["step"])
    clipped = steps["grad_norm_pre_clip"] > clips
    assert clipped.sum() > 5
    np.testing.assert_allclose(
        steps["grad_norm_post_clip"], np.minimum(steps["grad_norm_pre_clip"], clips), rtol=1e-4
    )


def test_a_statistic_beside_gradient_norms_gives_no_warning(tmp_path):
    norms = scaling.GradientNorms(flush_every=5)
    fit(learner(), text(), tmp_path, [norms, Total(flush_every=5)])
    assert norms.others == []
