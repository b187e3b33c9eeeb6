"""The transformer: its size, its start, its causality, and its loss."""

import math

import pytest
import torch

from scaling.models.nano_transformer import NanoTransformer


def transformer(**changes) -> NanoTransformer:
    torch.manual_seed(0)
    settings = {"inputs": 11, "outputs": 11, "length": 8, "d_model": 16, "layers": 2, "heads": 4}
    return NanoTransformer(**settings | {"dropout": 0.0} | changes)


@pytest.mark.parametrize(("d_model", "about"), [(64, 200_000), (128, 800_000)])
def test_the_published_sizes(d_model, about):
    net = transformer(inputs=128, outputs=128, length=128, d_model=d_model, layers=4)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(about, rel=0.1)


def test_no_position_sees_the_future():
    net = transformer()
    x = torch.randint(11, (1, 8))
    later = x.clone()
    later[0, 5:] = (x[0, 5:] + 1) % 11
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0, :5], net(later)[0, :5])
        assert not torch.allclose(net(x)[0, 5], net(later)[0, 5])


def test_attention_equals_the_textbook_formula():
    net = transformer().double()
    block, h = net.blocks[0], torch.randn(2, 8, 16, dtype=torch.float64)
    q, k, v = (part.view(2, 8, 4, 4).transpose(1, 2) for part in block.qkv(h).split(16, dim=2))
    scores = (q @ k.transpose(2, 3)) / math.sqrt(4)
    scores = scores.masked_fill(torch.ones(8, 8).triu(1).bool(), -math.inf)
    mixed = (scores.softmax(dim=3) @ v).transpose(1, 2).reshape(2, 8, 16)
    torch.testing.assert_close(block.attention(h), block.out(mixed))


def test_an_untrained_model_is_as_good_as_guessing():
    x, y = torch.randint(11, (64, 8)), torch.randint(11, (64, 8))
    assert transformer().losses((x, y)).mean().item() == pytest.approx(math.log(11), abs=0.05)


def test_weights_start_as_in_gpt2():
    net = transformer(d_model=64, layers=8)
    assert net.embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert net.blocks[0].up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for part in (net.blocks[0].out, net.blocks[7].down):
        assert part.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)  # sqrt(2 * 8) = 4
    assert not net.blocks[0].up.bias.any()


def test_the_loss_of_an_example_is_the_mean_over_its_tokens_only():
    net = transformer()
    x, y = torch.randint(11, (3, 8)), torch.randint(11, (3, 8))
    losses = net.losses((x, y))
    for i in range(3):
        alone = -net(x[i : i + 1])[0].log_softmax(dim=1)[torch.arange(8), y[i]].mean()
        torch.testing.assert_close(losses[i], alone)


def test_dropout_acts_in_training_only():
    net, x = transformer(dropout=0.5), torch.randint(11, (2, 8))
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_the_output_shares_its_weights_with_the_embedding():
    net = transformer()
    assert [name for name, p in net.named_parameters() if p.shape == (11, 16)] == [
        "embedding.weight"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "heads=3 must divide d_model=16"),
        ({"heads": 0}, "heads=0 must be at least 1"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"d_model": 0}, "d_model=0 must be at least 1"),
        ({"dropout": 1.0}, r"dropout=1.0 must lie in \[0, 1\)"),
        ({"outputs": 10}, "needs equal inputs and outputs, got 11 and 10"),
    ],
)
def test_invalid_shapes_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        transformer(**changes)
