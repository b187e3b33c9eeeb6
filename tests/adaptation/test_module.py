"""Updates against a loop written by hand, what they leave unchanged, and what is refused."""

import copy
import math

import numpy as np
import pytest
import torch
from adapting import (
    ADAMW,
    ENTROPY,
    OBJECTIVES,
    SGD,
    STUDY,
    adapter,
    data,
    fit,
    net,
)
from torch import nn

from scaling.adaptation.objective import Objective
from scaling.callbacks.gradient_norms import GradientNorms
from scaling.storage.tables import read_parts


def by_hand(objective: Objective, windows, *, passes: int, pull: float, clip: float):
    """The same updates in plain torch, from one backward pass through the whole loss."""
    model, source = net(), net()
    stepper = ADAMW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2]},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
    )
    windows.prepare()
    rows = []
    for number in range(passes):
        windows.batches.set_epoch(number)
        for (batch,) in windows.batches:
            trained = list(model.parameters())

            def loss_of(which, batch=batch):
                terms = objective.terms(model.logits(batch).log_softmax(dim=1))
                loss = {"entropy": terms.entropy, "diversity": terms.diversity}.get(which)
                if loss is None:
                    loss = objective.loss(terms)
                    pairs = zip(model.parameters(), source.parameters(), strict=True)
                    loss = loss + pull * sum((a - b.detach()).square().sum() for a, b in pairs)
                return loss, terms

            flat = {}
            for which in ("entropy", "diversity", "all"):
                stepper.zero_grad()
                loss, terms = loss_of(which)
                loss.backward()
                flat[which] = torch.cat([p.grad.flatten() for p in trained]).double()
            nn.utils.clip_grad_norm_(trained, clip)
            stepper.step()
            cosine = flat["entropy"] @ flat["diversity"]
            cosine = cosine / flat["entropy"].norm() / flat["diversity"].norm()
            rows.append(
                {
                    "train_loss": loss.item(), "grad_norm_pre_clip": flat["all"].norm().item(),
                    "entropy_grad_norm": flat["entropy"].norm().item(),
                    "diversity_grad_norm": flat["diversity"].norm().item(),
                    "gradient_cosine": cosine.item(), "diversity_weight": terms.weight.item(),
                    "windows": len(batch),
                }
            )  # fmt: skip
    return model, rows


@pytest.mark.parametrize("pull", [0.0, 0.3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_update_is_that_of_a_loop_written_by_hand(tmp_path, name, pull):
    module = adapter(objective=OBJECTIVES[name], pull=pull)
    fit(module, data(), tmp_path, [GradientNorms(flush_every=3)], gradient_clip_val=0.5)
    model, rows = by_hand(module.objective, data(), passes=2, pull=pull, clip=0.5)
    got = read_parts(tmp_path / "steps")
    assert got["windows"].tolist() == [16, 16, 16, 12] * 2
    assert got["epoch"].tolist() == [0] * 4 + [1] * 4
    for column in rows[0]:
        want = [row[column] for row in rows]
        np.testing.assert_allclose(got[column], want, rtol=2e-3, atol=1e-5, err_msg=column)
    assert got["clipped"].any()
    for ours, theirs in zip(module.net.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("batch", "updates"), [(8, 94), (16, 47), (24, 32), (32, 24), (64, 12), (128, 6)]
)
def test_a_pass_over_750_windows_has_this_many_updates(tmp_path, batch, updates):
    windows = data(query=750, batch=batch)
    module = adapter(objective=ENTROPY, windows=windows)
    trainer = fit(module, windows, tmp_path, max_epochs=1)
    assert trainer.global_step == updates
    assert module.windows == 750
    columns = module.columns()
    assert columns["windows_per_update"] == pytest.approx(750 / updates)
    assert columns["passes"] == 1


@pytest.mark.parametrize(("adapt", "moved"), [("norm", "norm"), ("head", "head"), ("all", "")])
def test_only_what_is_adapted_moves(tmp_path, adapt, moved):
    module, before = adapter(adapt=adapt), net().state_dict()
    fit(module, data(), tmp_path)
    changed = {n for n, t in module.net.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {name for name in before if moved in name}
    assert module.columns()["adapted_parameters"] == sum(before[name].numel() for name in changed)


def test_nothing_is_drawn_for_dropout(tmp_path):
    ended = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = adapter()
        torch.manual_seed(seed)
        fit(module, data(), tmp_path)
        ended.append(module.net.state_dict())
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_the_module_is_given_windows_alone(tmp_path):
    seen = []

    class Watched(type(adapter())):
        def training_step(self, batch, batch_idx):
            seen.append(batch)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            seen.append(batch)
            return super().validation_step(batch, batch_idx, dataloader_idx)

    module = adapter()
    module.__class__ = Watched
    fit(module, data(), tmp_path)
    assert {len(batch) for batch in seen} == {1}
    assert {batch[0].shape[1:] for batch in seen} == {(30, 23)}
    assert all(batch[0].is_floating_point() for batch in seen)


def test_a_reset_restores_the_source_to_the_last_bit(tmp_path):
    windows, module = data(), adapter(normalisation="batch", statistics="batch")
    before = copy.deepcopy(module.net.state_dict())
    trainer = fit(module, windows, tmp_path, max_epochs=1)
    assert any(not torch.equal(t, before[n]) for n, t in module.net.state_dict().items())
    assert trainer.optimizers[0].state
    module.reset()
    assert module.net.state_dict().keys() == before.keys()
    assert all(torch.equal(t, before[n]) for n, t in module.net.state_dict().items())
    assert not trainer.optimizers[0].state


def test_an_update_without_confident_predictions_is_skipped_and_recorded(tmp_path):
    module, norms = adapter(objective=STUDY | {"margin": 1e-9}), GradientNorms(flush_every=3)
    fit(module, data(), tmp_path, [norms], gradient_clip_val=1.0)
    steps = read_parts(tmp_path / "steps")
    assert steps["skipped"].all()
    assert (steps["kept"] == 0).all()
    assert (steps["update_norm"] == 0).all()
    assert not steps["clipped"].any()
    assert module.columns()["skipped_updates"] == len(steps) == norms.columns()["skipped_steps"]
    assert all(torch.equal(t, module.source[n]) for n, t in module.net.state_dict().items())


def test_a_margin_that_keeps_some_skips_nothing(tmp_path):
    module = adapter(objective=STUDY | {"margin": 0.5})
    fit(module, data(), tmp_path, [GradientNorms(flush_every=3)])
    steps = read_parts(tmp_path / "steps")
    assert not steps["skipped"].any()
    assert ((steps["kept"] > 0) & (steps["kept"] < 1)).any()


def test_a_strong_pull_keeps_the_model_nearer_to_its_source(tmp_path):
    ways = []
    for pull in (0.0, 1.0):
        module = adapter(pull=pull, optimizer=SGD)
        fit(module, data(), tmp_path)
        ways.append(
            sum((p - module.source[n]).square().sum().item() for n, p in module.adapted.items())
        )
    assert ways[1] < 0.5 * ways[0]


@pytest.mark.parametrize(
    ("rule", "factors"), [("fixed", (1, 1, 1)), ("linear", (1, 2, 4)), ("sqrt", (1, 2**0.5, 2))]
)
def test_the_learning_rate_follows_the_batch_of_a_pass(tmp_path, rule, factors):
    windows = data(growth=64, query=70)
    module = adapter(windows=windows, lr_rule=rule)
    fit(module, windows, tmp_path, [GradientNorms(flush_every=50)], max_epochs=3)
    steps = read_parts(tmp_path / "steps")
    assert steps["windows"].tolist() == [16, 16, 16, 16, 6, 32, 32, 6, 64, 6]
    want = [0.01 * factors[number] for number in steps["epoch"]]
    np.testing.assert_allclose(steps["lr"], want, rtol=1e-6)


def statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    return {n: b.clone() for n, b in module.named_buffers() if b.is_floating_point()}


def test_statistics_of_batch_normalisation_are_those_that_were_asked_for(tmp_path):
    windows = data()
    windows.prepare()
    found = {}
    for kind in ("source", "query", "batch"):
        module = adapter(normalisation="batch", statistics=kind, adapt="head")
        found[kind] = statistics(module.net), module
        fit(module, windows, tmp_path)
        found[kind] = (*found[kind], statistics(module.net))
    for kind, same in {"source": True, "query": False, "batch": False}.items():
        before, _, after = found[kind]
        assert all(torch.equal(before[n], after[n]) for n in before) == same, kind
    first = (
        net("batch").blocks[0].convolution(net("batch").embedding(windows.query.transpose(1, 2)))
    )
    after = found["query"][2]
    torch.testing.assert_close(after["blocks.0.norm.running_mean"], first.mean(dim=(0, 2)))
    torch.testing.assert_close(after["blocks.0.norm.running_var"], first.var(dim=(0, 2)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapt": "norm", "normalisation": "none"}, "adapt=norm finds no"),
        ({"adapt": "body"}, "adapt=body must be one of"),
        ({"statistics": "query"}, "statistics=query needs batch normalisation"),
        ({"statistics": "target"}, "statistics=target must be one of"),
        ({"pull": -1.0}, "pull=-1.0 must be finite"),
        ({"pull": math.nan}, "pull=nan must be finite"),
        ({"reset_above": 1.0}, "reset_above=1.0 must lie between 0 and 1"),
        ({"lr_rule": "cubic"}, "lr_rule=cubic must be one of"),
    ],
)
def test_an_invalid_setting_is_refused_by_its_key(changes, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        adapter(**changes)


def test_a_network_that_needs_labels_is_refused():
    module = adapter()
    settings = {
        key: getattr(module, key)
        for key in (
            *("query", "objective", "statistics", "pull", "reset_above", "lr_rule", "lr_reference"),
            *("sizes", "optimizer", "schedule"),
        )
    }
    with pytest.raises(ValueError, match="^Linear cannot be adapted: it has no logits"):
        type(module)(nn.Linear(4, 2), adapt="all", **settings)
