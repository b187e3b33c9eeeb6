"""Statistics of every tensor against a loop written by hand over the same batches."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from fits import STEPS, fit, module, text
from torch import nn

from scaling.callbacks.gradient_norms import GradientNorms
from scaling.callbacks.layer_gradients import LayerGradients
from scaling.callbacks.parameter_tensors import kind
from scaling.storage.tables import read_parts

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.5),
    "adamw": partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1),
}


def measured(folder, optimizer, *, every=1, microbatches=1, **settings) -> pd.DataFrame:
    watching = LayerGradients(every=every, flush_every=3)
    settings["accumulate_grad_batches"] = microbatches
    fit(module(OPTIMIZERS[optimizer]), text(microbatches), folder, [watching], **settings)
    return read_parts(folder / "layers")


def by_hand(optimizer: str, clip: float) -> pd.DataFrame:
    learner, data = module(OPTIMIZERS[optimizer]), text()
    data.prepare()
    stepper = learner.configure_optimizers()["optimizer"]
    rows = []
    batches = zip(range(STEPS), data.train_dataloader(), strict=False)
    for step, batch in batches:
        before = {name: p.detach().clone() for name, p in learner.net.named_parameters()}
        stepper.zero_grad()
        learner.net.losses(batch).mean().backward()
        gradients = {name: p.grad.double() for name, p in learner.net.named_parameters()}
        statistics = {
            name: (g.norm().item(), g.mean().item(), g.var(correction=0).item())
            for name, g in gradients.items()
        }
        nn.utils.clip_grad_norm_(learner.parameters(), clip)
        stepper.step()
        rate = stepper.param_groups[0]["lr"] * stepper.param_groups[0]["weight_decay"]
        for name, p in learner.net.named_parameters():
            old = before[name]
            kept = old * (1 - rate) if old.ndim >= 2 else old
            norm, mean, variance = statistics[name]
            rows.append(
                {
                    "step": step,
                    "layer": name,
                    "size": p.numel(),
                    "grad_norm": norm,
                    "grad_rms": norm / math.sqrt(p.numel()),
                    "grad_mean": mean,
                    "grad_variance": variance,
                    "update_to_weight": ((p.detach() - kept).norm() / old.norm()).item(),
                }
            )
    return pd.DataFrame(rows)


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["step", "layer"], ignore_index=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [0.1, math.inf])
def test_every_column_agrees_with_a_loop_written_by_hand(tmp_path, optimizer, clip):
    got = sorted_rows(measured(tmp_path, optimizer, gradient_clip_val=clip))
    want = sorted_rows(by_hand(optimizer, clip))
    assert got["layer"].tolist() == want["layer"].tolist()
    assert got["size"].tolist() == want["size"].tolist()
    for column in ("grad_norm", "grad_rms"):
        np.testing.assert_allclose(got[column], want[column], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(got["grad_variance"], want["grad_variance"], rtol=1e-3, atol=1e-15)
    np.testing.assert_allclose(got["grad_mean"], want["grad_mean"], rtol=1e-3, atol=1e-8)
    known = got["update_to_weight"].notna()
    first = got["step"] == 0
    assert (known == ~(first & got["layer"].str.endswith("bias"))).all()  # biases begin at zero
    np.testing.assert_allclose(
        got["update_to_weight"][known], want["update_to_weight"][known], rtol=1e-2, atol=1e-6
    )


def test_norms_of_layers_add_up_to_the_norm_of_all(tmp_path):
    callbacks = [GradientNorms(flush_every=5), LayerGradients(every=1, flush_every=4)]
    fit(module(OPTIMIZERS["adamw"]), text(), tmp_path, callbacks, gradient_clip_val=0.1)
    layers, steps = read_parts(tmp_path / "layers"), read_parts(tmp_path / "steps")
    total = layers.groupby("step")["grad_norm"].agg(lambda norms: np.sqrt((norms**2).sum()))
    np.testing.assert_allclose(total, steps["grad_norm_pre_clip"], rtol=1e-5)


@pytest.mark.parametrize(("every", "steps"), [(1, 12), (5, 3), (25, 1)])
def test_it_measures_every_so_many_steps_from_the_first(tmp_path, every, steps):
    got = measured(tmp_path, "adamw", every=every)
    assert sorted(got["step"].unique()) == [every * i for i in range(steps)]


def test_accumulated_gradients_are_measured_whole(tmp_path):
    whole = sorted_rows(measured(tmp_path / "whole", "sgd"))
    parts = sorted_rows(measured(tmp_path / "parts", "sgd", microbatches=4))
    assert parts["step"].tolist() == whole["step"].tolist()
    np.testing.assert_allclose(parts["grad_norm"], whole["grad_norm"], rtol=1e-3, atol=1e-7)


def test_training_is_the_same_with_and_without_it(tmp_path):
    weights = []
    for callbacks in ([], [LayerGradients(every=1, flush_every=2)]):
        learner = module(OPTIMIZERS["adamw"], dropout=0.1)
        fit(learner, text(), tmp_path, callbacks, gradient_clip_val=0.5)
        weights.append(learner.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_kinds_follow_from_the_module_that_owns_a_parameter(tmp_path):
    got = measured(tmp_path, "adamw", every=100).set_index("layer")["kind"].to_dict()
    assert got["embedding.weight"] == got["positions.weight"] == "embedding"
    assert got["blocks.0.qkv.weight"] == "weight"
    assert got["blocks.0.qkv.bias"] == "bias"
    assert got["blocks.0.norm_mlp.bias"] == got["norm.weight"] == "norm"
    assert kind(nn.LSTM(2, 2), "bias_ih_l0") == "bias"
    assert kind(nn.BatchNorm1d(2), "weight") == "norm"
    assert kind(nn.Embedding(2, 2), "weight") == "embedding"


def test_a_shared_parameter_appears_once(tmp_path):
    got = measured(tmp_path, "adamw", every=100)
    assert got["layer"].is_unique


@pytest.mark.parametrize(
    "settings", [{"every": 0, "flush_every": 1}, {"every": 1, "flush_every": 0}]
)
def test_intervals_below_one_step_are_refused(settings):
    with pytest.raises(ValueError, match="must be at least 1"):
        LayerGradients(**settings)


def test_a_step_that_raises_has_no_row_and_damages_no_other(tmp_path):
    class Breaking(torch.optim.SGD):
        taken = 0

        def step(self, closure=None):
            loss = closure()
            self.taken += 1
            if self.taken == 6:
                raise RuntimeError("broken in the middle of a step")
            super().step()
            return loss

    watching = LayerGradients(every=1, flush_every=4)
    with pytest.raises(RuntimeError, match="broken in the middle"):
        fit(module(partial(Breaking, lr=0.1)), text(), tmp_path, [watching])
    table = read_parts(tmp_path / "layers")
    assert sorted(table["step"].unique()) == [0, 1, 2, 3, 4]
