"""Gradients of single examples: hooks against torch.func, and both against a covariance."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import scaling
from scaling.gradients import outer_products
from scaling.gradients.outer_products import Outer
from scaling.gradients.parameter_uses import ParameterUses
from scaling.gradients.per_example import exact_squared_norms, squared_norms
from scaling.models.mlp import MLP
from scaling.models.nano_transformer import NanoTransformer
from scaling.models.tcn import TCN


class Classified(nn.Sequential):
    """Any layers, then a cross-entropy over the classes."""

    def losses(self, batch):
        return F.cross_entropy(self(batch[0]), batch[1], reduction="none")


class Pooled(nn.Module):
    """Grouped, strided, dilated and padded convolutions, and three normalisations."""

    def __init__(self):
        super().__init__()
        self.images = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, groups=2, stride=2), nn.GroupNorm(2, 6), nn.ReLU(),
            nn.Conv2d(6, 5, (3, 2), padding="same", dilation=2), nn.Flatten(2),
        )  # fmt: skip
        self.signals = nn.Conv1d(5, 3, 2, dilation=3, padding=1, bias=False)
        self.rms, self.layer = nn.RMSNorm(3), nn.LayerNorm((11, 3))
        self.out = nn.Linear(3, 4)

    def losses(self, batch):
        h = self.layer(self.rms(self.signals(self.images(batch[0])).mT))
        return F.cross_entropy(self.out(h).mean(1), batch[1], reduction="none")


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(examples: int, length: int):
    x = torch.randint(11, (examples, length + 1), generator=drawn())
    return x[:, :-1], x[:, 1:]


def transformer(length: int = 8) -> NanoTransformer:
    torch.manual_seed(0)
    return NanoTransformer(
        inputs=11, outputs=11, length=length, d_model=8, layers=2, heads=2, dropout=0.0
    )


def networks():
    torch.manual_seed(0)
    labels = torch.randint(4, (6,), generator=drawn())
    vectors, images = torch.randn(6, 5, generator=drawn()), torch.randn(6, 4, 8, 6)
    mlp = MLP(inputs=5, outputs=4, length=1, depth=2, width=7, activation="relu", init="he")
    tcn = TCN(
        inputs=5,
        outputs=4,
        length=9,
        width=6,
        layers=2,
        dropout=0.0,
        normalisation="group",
        groups=2,
    )
    embedded = Classified(nn.Embedding(9, 3, padding_idx=2), nn.Flatten(), nn.Linear(15, 4))
    indices = torch.randint(9, (6, 5), generator=drawn())
    return {
        "MLP": (mlp, (vectors, labels)),
        "NanoTransformer": (transformer(), tokens(6, 8)),
        "as many positions as examples": (transformer(), tokens(8, 8)),
        "long, so that products are dearer": (transformer(40), tokens(3, 40)),
        "convolutions": (Pooled(), (images, labels)),
        "TCN": (tcn, (torch.randn(6, 9, 5, generator=drawn()), labels)),
        "padded embedding": (embedded, (indices, labels)),
    }


@pytest.mark.parametrize("name", list(networks()))
def test_hooks_give_the_norms_of_torch_func(name):
    net, batch = networks()[name]
    exact = exact_squared_norms(net, batch, chunk=4)
    assert exact.keys() == {name for name, _ in net.named_parameters()}
    hooked = squared_norms(net, batch)
    for parameter, norms in exact.items():
        torch.testing.assert_close(hooked[parameter], norms, rtol=1e-5, atol=1e-12)


def test_both_agree_with_one_backward_pass_for_each_example():
    net, (x, y) = networks()["NanoTransformer"]
    exact = exact_squared_norms(net, (x, y), chunk=2)
    for number in range(len(x)):
        net.zero_grad()
        net.losses((x[number : number + 1], y[number : number + 1])).sum().backward()
        for name, parameter in net.named_parameters():
            alone = parameter.grad.square().sum()
            torch.testing.assert_close(exact[name][number], alone, rtol=1e-5, atol=1e-12)


def test_the_noise_from_per_example_norms_is_the_trace_of_their_covariance():
    net, batch = networks()["MLP"]
    norms = torch.stack(list(squared_norms(net, batch).values())).sum(0)
    gradients = []
    for x, y in zip(*batch, strict=True):
        net.zero_grad()
        net.losses((x[None], y[None])).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]).double().numpy())
    mean = np.mean(gradients, axis=0)
    estimate = scaling.noise_scale(
        {
            "small_batch": [1],
            "big_batch": [6],
            "small_norm_squared": [norms.mean().item()],
            "big_norm_squared": [mean @ mean],
            "unit": "examples",
        }
    )
    trace = np.var(gradients, axis=0, ddof=1).sum()
    assert estimate.noise == pytest.approx(trace, rel=1e-5)
    assert estimate.signal == pytest.approx(mean @ mean - trace / 6, rel=1e-4)


@pytest.mark.parametrize(("positions", "rows"), [(2, 30), (30, 4)])
def test_products_and_matrices_give_the_norms_of_the_sum(positions, rows):
    def draw(*shape):
        return torch.randn(*shape, generator=drawn(sum(shape)), dtype=torch.float64)

    indices = torch.randint(rows, (3, positions), generator=drawn())
    parts = [
        Outer(draw(3, positions, rows), draw(3, positions, 5), rows),
        Outer(indices, draw(3, positions, 5), rows),
        Outer(draw(3, positions + 1, rows), draw(3, positions + 1, 5), rows),
    ]
    left = [parts[0].left, F.one_hot(indices, rows).double(), parts[2].left]
    matrices = sum(a.mT @ part.right for a, part in zip(left, parts, strict=True))
    want = matrices.square().sum((1, 2))
    for measure in (
        outer_products.squared_norms,
        outer_products._by_products,
        outer_products._by_matrices,
    ):
        torch.testing.assert_close(measure(parts), want)
    torch.testing.assert_close(outer_products.total(parts), matrices.sum(0))


def test_frozen_parameters_have_no_norms():
    net, batch = networks()["NanoTransformer"]
    net.embedding.weight.requires_grad_(False)
    net.blocks[0].qkv.bias.requires_grad_(False)
    exact, hooked = exact_squared_norms(net, batch, chunk=6), squared_norms(net, batch)
    assert exact.keys() == hooked.keys()
    assert len(exact) == len(list(net.parameters())) - 2
    torch.testing.assert_close(hooked, exact, rtol=1e-5, atol=1e-12)


def test_parameters_that_are_used_in_other_ways_are_named():
    class Scaled(Classified):
        def __init__(self):
            super().__init__(nn.Linear(5, 4), nn.LayerNorm(4))
            self.scale = nn.Parameter(torch.ones(4))
            self.unused = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return super().forward(x) * self.scale + self[0].weight[:, 0]

    net, batch = Scaled(), networks()["MLP"][1]
    with pytest.raises(
        ValueError, match=r"not known for scale, 0\.weight; exact_squared_norms has"
    ):
        squared_norms(net, batch)
    assert exact_squared_norms(net, batch, chunk=6).keys() >= {"scale", "0.weight"}


def test_batch_normalisation_is_refused_in_training_only():
    net = Classified(nn.Linear(5, 4), nn.BatchNorm1d(4))
    batch = networks()["MLP"][1]
    for measure in (squared_norms, lambda *given: exact_squared_norms(*given, chunk=6)):
        with pytest.raises(
            ValueError, match="1 is a batch normalisation, so no example has a grad"
        ):
            measure(net.train(), batch)
    fixed = Classified(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False)).eval()
    torch.testing.assert_close(
        squared_norms(fixed, batch), exact_squared_norms(fixed, batch, chunk=6), rtol=1e-5, atol=0
    )


def test_sixteen_bit_operations_are_measured_in_thirty_two():
    net, batch = networks()["NanoTransformer"]
    want = squared_norms(net, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = squared_norms(net, batch)
    for name, norms in want.items():
        assert got[name].dtype == torch.float32
        torch.testing.assert_close(got[name], norms, rtol=0.2, atol=1e-6)


def test_watching_changes_no_loss_and_no_gradient():
    net, batch = networks()["NanoTransformer"]
    losses, gradients = [], []
    for watched in (False, True):
        net.zero_grad()
        uses = ParameterUses(list(net.parameters()) if watched else [], examples=6)
        with uses:
            loss = net.losses(batch).mean()
        loss.backward()
        losses.append(loss)
        gradients.append([p.grad for p in net.parameters()])
    assert torch.equal(*losses)
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_chunks_below_one_are_refused():
    with pytest.raises(ValueError, match="chunk=0 must be at least 1"):
        exact_squared_norms(*networks()["MLP"], chunk=0)
