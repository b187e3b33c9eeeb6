"""The net whose output gradients are given: they are exactly what backpropagation starts from."""

import pytest
import torch

from scaling.models.two_layer import TwoLayer


def net(**changes) -> TwoLayer:
    torch.manual_seed(0)
    return TwoLayer(**{"inputs": 5, "outputs": 3, "length": 1, "width": 7} | changes)


def test_its_gradients_are_those_of_backpropagation_by_hand():
    model, x, injected = net(), torch.randn(4, 5), torch.randn(4, 3)
    model.losses((x, injected)).sum().backward()
    hidden = (x @ model.first.weight.T).relu()
    torch.testing.assert_close(model.second.weight.grad, injected.T @ hidden)
    back = (injected @ model.second.weight) * (hidden > 0)
    torch.testing.assert_close(model.first.weight.grad, back.T @ x)


def test_it_has_two_matrices_and_no_bias():
    assert [name for name, _ in net().named_parameters()] == ["first.weight", "second.weight"]


def test_other_data_are_refused():
    with pytest.raises(ValueError, match="one vector per example, not 2 in a row"):
        net(length=2)
    with pytest.raises(ValueError, match="width=0 must be at least 1"):
        net(width=0)
    with pytest.raises(ValueError, match="a gradient for each output of an example"):
        net().losses((torch.randn(4, 5), torch.tensor([0, 1, 2, 0])))
