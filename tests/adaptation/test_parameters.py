"""Which parameters are adapted, and the distance from where they started."""

import copy

import pytest
import torch
from torch import nn

from scaling.adaptation.parameters import adapted_parameters, squared_distance


def network(norm: nn.Module | None = None) -> nn.Module:
    body = [nn.Conv1d(3, 4, 3), *([norm] if norm else []), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)]
    return nn.Sequential(*body)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.RMSNorm(4)]
)
def test_norm_is_the_scale_and_shift_of_every_normalisation(norm):
    found = adapted_parameters(nn.Sequential(network(norm), network()), "norm")
    assert {id(parameter) for parameter in found.values()} == set(map(id, norm.parameters()))
    assert all(name.startswith("0.1.") for name in found)


def test_all_is_every_parameter_in_order():
    whole = network(nn.GroupNorm(2, 4))
    assert list(adapted_parameters(whole, "all").items()) == list(whole.named_parameters())


def test_the_head_is_the_layer_of_that_name_or_the_last_linear_layer():
    whole = network()
    assert list(adapted_parameters(whole, "head")) == ["3.weight", "3.bias"]

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
            self.header = nn.Linear(2, 2)

    outer = nn.ModuleDict({"net": Named()})
    found = list(adapted_parameters(outer, "head"))
    assert found == ["net.head.0.weight", "net.head.0.bias", "net.head.1.weight"]


@pytest.mark.parametrize("norm", [None, nn.LayerNorm(4, elementwise_affine=False)])
def test_norm_without_normalisation_is_refused_with_a_remedy(norm):
    with pytest.raises(ValueError, match="adapt=norm finds no normalisation .* choose adapt=all"):
        adapted_parameters(network(norm), "norm")


def test_a_network_without_a_head_and_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="adapt=head finds no linear layer"):
        adapted_parameters(nn.Conv1d(1, 1, 1), "head")
    with pytest.raises(ValueError, match="adapt=all finds no parameter in this network"):
        adapted_parameters(nn.ReLU(), "all")
    with pytest.raises(ValueError, match="adapt=bias must be one of norm, all, head"):
        adapted_parameters(network(), "bias")


def test_the_distance_is_that_of_all_coordinates_together_and_pulls_back():
    whole = network().double()
    source = {name: value.clone() for name, value in copy.deepcopy(whole).named_parameters()}
    found = adapted_parameters(whole, "head")
    assert squared_distance(found, source) == 0
    with torch.no_grad():
        for value in found.values():
            value += torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
    ways = [(value - source[name]).flatten() for name, value in found.items()]
    distance = squared_distance(found, source)
    torch.testing.assert_close(distance, torch.cat(ways).norm() ** 2)
    gradients = torch.autograd.grad(distance, list(found.values()))
    torch.testing.assert_close(torch.cat([g.flatten() for g in gradients]), 2 * torch.cat(ways))


def test_a_distance_without_an_origin_is_refused():
    found = adapted_parameters(network(), "head")
    with pytest.raises(ValueError, match="the source has no 3.bias, 3.weight"):
        squared_distance(found, {})
    with pytest.raises(ValueError, match="no parameters"):
        squared_distance({}, found)
