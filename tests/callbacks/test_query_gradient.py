"""The gradient of the whole query against one backward pass, and when it is taken."""

import numpy as np
import pytest
import torch
from adapting import STUDY, adapter, data, fit, net

from scaling.callbacks.evaluations import Evaluations
from scaling.callbacks.query_gradient import QueryGradient
from scaling.objectives import Objective
from scaling.tables import read_parts


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


def test_a_measurement_at_no_pass_is_refused():
    with pytest.raises(ValueError, match="every=0 must be at least 1 pass"):
        QueryGradient(every=0)
