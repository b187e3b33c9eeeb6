"""The perceptron: how it starts, what it computes, and what it refuses."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from scaling.models.mlp import MLP

FUNCTIONS = {
    "relu": lambda z: z.clamp(min=0),
    "gelu": lambda z: z * (1 + torch.erf(z / math.sqrt(2))) / 2,
    "tanh": lambda z: 1 - 2 / (1 + torch.exp(2 * z)),
}


def mlp(**changes) -> MLP:
    torch.manual_seed(0)
    settings = {"inputs": 12, "outputs": 10, "length": 1, "depth": 2, "width": 16}
    return MLP(**settings | {"activation": "relu", "init": "he"} | changes)


@pytest.mark.parametrize(
    ("init", "ratio"), [("he", 1.0), ("xavier", 0.5), ("orthogonal", 0.5), ("torch", 1 / 6)]
)
def test_a_relu_layer_scales_the_mean_square_of_activations_as_its_initialisation_says(init, ratio):
    net = mlp(inputs=784, depth=6, width=1024, init=init)
    for layer in net.hidden:
        nn.init.zeros_(layer.bias)  # those of torch's own add to the signal
    z, squares = torch.randn(256, 784), []
    with torch.no_grad():
        for layer in net.hidden:
            z = layer(z).relu()
            squares.append(z.square().mean().item())
    for before, after in pairwise(squares):
        assert after / before == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(
    ("init", "variance"),
    [("he", 2 / 300), ("xavier", 2 / 1000), ("torch", 1 / 900)],
)
def test_weights_have_the_variance_of_their_scheme(init, variance):
    net = mlp(inputs=300, width=700, depth=1, init=init)
    weight = net.hidden[0].weight
    error = weight.square().std() / weight.numel() ** 0.5
    assert abs(weight.square().mean() - variance) < 5 * error
    assert abs(weight.mean()) < 5 * (variance / weight.numel()) ** 0.5


def test_orthogonal_weights_keep_lengths():
    weight = mlp(width=64, init="orthogonal").hidden[1].weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("init", ["he", "xavier", "orthogonal"])
def test_biases_start_at_zero_in_every_layer(init):
    net = mlp(init=init)
    assert not any(layer.bias.any() for layer in (*net.hidden, net.classifier))


def test_the_default_of_torch_is_unchanged():
    net = mlp(init="torch")
    torch.manual_seed(0)
    for layer in (nn.Linear(12, 16), nn.Linear(16, 16)):
        mine = next(part for part in net.hidden if part.in_features == layer.in_features)
        assert torch.equal(mine.weight, layer.weight)
        assert torch.equal(mine.bias, layer.bias)


def test_depth_counts_hidden_layers():
    names = [name for name, _ in mlp(depth=3).named_parameters() if name.endswith("weight")]
    assert names == ["hidden.0.weight", "hidden.1.weight", "hidden.2.weight", "classifier.weight"]


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_it_computes_the_textbook_formula(activation):
    net, x = mlp(activation=activation, init="torch").double(), torch.randn(5, 12).double()
    z = x
    for layer in net.hidden:
        z = FUNCTIONS[activation](z @ layer.weight.T + layer.bias)
    torch.testing.assert_close(net(x), z @ net.classifier.weight.T + net.classifier.bias)


def test_the_loss_of_an_example_is_its_cross_entropy_and_not_a_mean():
    net, x, labels = mlp(), torch.randn(3, 12), torch.tensor([0, 9, 4])
    losses, logits = net.losses_and_logits((x, labels))
    assert torch.equal(losses, net.losses((x, labels, labels)))  # true labels change nothing
    for i in range(3):
        shares = net(x[i : i + 1])[0].exp()
        torch.testing.assert_close(losses[i], -(shares[labels[i]] / shares.sum()).log())
    assert torch.equal(logits, net(x))


def test_runs_that_differ_in_batch_and_learning_rate_start_from_the_same_weights(
    command, monkeypatch
):
    from scaling.runs import run
    from scaling.sweeps import sweep

    seen = []
    monkeypatch.setattr(sweep, "train_cells", lambda cells, launcher: seen.extend(cells) or 0)
    mlp_on_digits = ("model=mlp", "data=digits", "data.label_noise=0.2")
    assert command("-m", *mlp_on_digits, "batch=8,32", "lr=1e-3,1e-1", "seed=0,1").code == 0
    starts = {}
    for cell in seen:
        _, learner, _ = run._build(cell, Path(), bar=False)
        weights = nn.utils.parameters_to_vector(learner.parameters()).detach()
        starts.setdefault(cell.config["seed"], []).append(weights)
    assert [len(starts[seed]) for seed in (0, 1)] == [4, 4]
    assert all(torch.equal(starts[seed][0], other) for seed in (0, 1) for other in starts[seed])
    assert not torch.equal(starts[0][0], starts[1][0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"init": "lecun"}, "init=lecun must be one of xavier, he, orthogonal, torch"),
        ({"activation": "swish"}, "activation=swish must be one of relu, gelu, tanh"),
        ({"length": 128}, "takes one vector per example, not 128 in a row; choose data of vectors"),
    ],
)
def test_invalid_shapes_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        mlp(**changes)
