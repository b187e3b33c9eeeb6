"""The gradient of the whole query against one backward pass, and when it is taken."""

import numpy as np
import pytest
import torch
from adapting import STUDY, adapter, data, fit, net

from scaling.adaptation.objective import Objective
from scaling.adaptation.query_gradient import QueryGradient
from scaling.callbacks.early_stop import EarlyStop
from scaling.callbacks.evaluation_table import Evaluations
from scaling.storage.tables import read_parts


def slow(model, windows) -> float:
    objective = Objective(**STUDY)
    objective.loss(objective.terms(model.logits(windows.query).log_softmax(dim=1))).backward()
    return sum(p.grad.double().square().sum().item() for p in model.parameters()) ** 0.5


def test_it_is_that_of_the_loss_on_all_windows_at_once(tmp_path):
    windows, module = data(), adapter()
    fit(
        module,
        windows,
        tmp_path,
        [QueryGradient(every=2), Evaluations()],
        before=True,
        max_epochs=5,
    )
    found = read_parts(tmp_path / "epochs")["query_grad_norm"]
    assert np.isfinite(found).tolist() == [True, False, True, False, True, False]
    assert found.iloc[0] == pytest.approx(slow(net(), windows), rel=1e-4)


def test_the_last_pass_that_is_planned_is_measured(tmp_path):
    windows = data()
    steps = windows.prepare() and windows.batches.updates(3)
    fit(
        adapter(), windows, tmp_path, [QueryGradient(every=2), Evaluations()],
        before=True, max_epochs=-1, max_steps=steps,
    )  # fmt: skip
    found = read_parts(tmp_path / "epochs")["query_grad_norm"]
    assert np.isfinite(found).tolist() == [True, False, True, True]


def test_weights_and_statistics_are_the_same_with_and_without_it(tmp_path):
    ended = []
    for callbacks in ([QueryGradient(every=1)], []):
        module = adapter(normalisation="batch", statistics="batch")
        fit(module, data(), tmp_path, callbacks, before=True)
        ended.append(module.net.state_dict())
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_an_interval_below_one_pass_is_refused():
    with pytest.raises(ValueError, match="every=0 must be at least 1 pass"):
        QueryGradient(every=0)


def test_under_statistics_of_the_batch_it_is_normalised_by_the_query(tmp_path):
    windows, module = data(), adapter(normalisation="batch", statistics="batch")
    trainer = fit(module, windows, tmp_path, before=True, max_epochs=1)
    assert trainer.global_step == 4
    before = {name: value.clone() for name, value in module.net.state_dict().items()}
    found = module.query_gradient_norm()
    assert all(torch.equal(value, before[name]) for name, value in module.net.state_dict().items())
    alone = net("batch")
    alone.load_state_dict(before)
    alone.train()
    for dropout in (one for one in alone.modules() if isinstance(one, torch.nn.Dropout)):
        dropout.eval()
    assert found == pytest.approx(slow(alone, windows), rel=1e-4)


def test_an_early_stop_has_the_norm_of_its_last_pass(tmp_path):
    windows, module = data(), adapter()
    stop = EarlyStop(loss="pass_loss", patience=50, guard="query_diversity", least=2.0, after=2,
                     observe_only=False)  # fmt: skip
    callbacks = [QueryGradient(every=10), stop, Evaluations()]
    trainer = fit(module, windows, tmp_path, callbacks, before=True, max_epochs=20)
    trainer.validate(module, datamodule=windows, verbose=False)
    table = read_parts(tmp_path / "epochs")
    assert table["passes"].tolist() == [0, 1, 2, 3]
    assert np.isfinite(table["query_grad_norm"]).tolist() == [True, False, False, True]
    assert table["pass_loss"].notna().tolist() == [False, True, True, True]
    assert table["query_grad_norm"].iloc[-1] == pytest.approx(module.query_gradient_norm())


def test_a_model_that_was_reset_after_its_last_pass_is_scored_after_the_reset(tmp_path):
    windows, module = data(), adapter(reset_above=0.01)
    trainer = fit(module, windows, tmp_path, [Evaluations()], before=True)
    trainer.validate(module, datamodule=windows, verbose=False)
    table = read_parts(tmp_path / "epochs")
    assert table["query_loss"].iloc[-1] == pytest.approx(table["query_loss"].iloc[0])
    assert table["step"].tolist() == [0, 4, 8]
