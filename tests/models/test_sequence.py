"""Classifiers of windows: what they compute, what they learn, and what they refuse."""

import pytest
import torch
from torch import nn

from scaling.models.gru import GRU
from scaling.models.sequence import NORMALISATIONS, StepNorm, normalised
from scaling.models.tcn import TCN

MODELS = {"tcn": TCN, "gru": GRU}
SIZES = {"inputs": 5, "outputs": 3, "length": 12}
SETTINGS = {"width": 8, "layers": 2, "normalisation": "group", "groups": 4, "dropout": 0.0}


def made(model: str, **changes):
    torch.manual_seed(0)
    return MODELS[model](**SIZES | SETTINGS | changes)


def windows(n: int = 6) -> torch.Tensor:
    return torch.randn(n, 12, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_logits_are_of_windows_and_losses_their_cross_entropies(model, normalisation):
    net, x, labels = made(model, normalisation=normalisation), windows(), torch.arange(6) % 3
    losses, logits = net.losses_and_logits((x, labels, labels))
    assert logits.shape == (6, 3)
    assert torch.equal(logits, net.logits(x))
    assert torch.equal(losses, net.losses((x, labels)))
    torch.testing.assert_close(losses, -logits.log_softmax(1)[range(6), labels])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_only_batch_statistics_let_windows_of_a_batch_influence_each_other(model, normalisation):
    net, x = made(model, normalisation=normalisation), windows()
    alone = torch.cat([net.logits(part) for part in x.split(1)])
    same = torch.allclose(alone, net.logits(x), atol=1e-5)
    assert same == (normalisation != "batch")
    net.eval()
    torch.testing.assert_close(torch.cat([net(part) for part in x.split(1)]), net(x))


@pytest.mark.parametrize("model", MODELS)
def test_it_learns_what_only_the_order_of_time_steps_tells(model):
    generator = torch.Generator().manual_seed(3)
    rising = torch.linspace(-2, 2, 12).view(1, 12, 1) * torch.ones(5)
    labels = torch.randint(2, (256,), generator=generator)
    slope = (2.0 * labels - 1).view(-1, 1, 1)
    x = slope * rising + torch.randn(256, 12, 5, generator=generator)
    x = x - x.mean(dim=1, keepdim=True)  # nothing in the mean over time
    net = made(model, outputs=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        net.losses((x[:128], labels[:128])).mean().backward()
        optimizer.step()
    assert (net.logits(x[128:]).argmax(1) == labels[128:]).float().mean() > 0.9


@pytest.mark.parametrize(("layers", "seen"), [(1, 3), (2, 7), (4, 31)])
def test_a_time_step_of_a_tcn_sees_as_many_as_it_says(layers, seen):
    net = made("tcn", length=64, layers=layers, normalisation="none")
    x = torch.randn(1, 64, 5, requires_grad=True)
    net.features(x)[0, :, 32].sum().backward()
    touched = x.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert touched.min() == 32 - seen // 2
    assert touched.max() == 32 + seen // 2
    assert len(touched) <= seen


def test_a_time_step_of_a_gru_sees_all_before_it_and_none_after():
    net = made("gru", normalisation="layer")
    x = torch.randn(1, 12, 5, requires_grad=True)
    net.features(x)[0, :, 7].sum().backward()
    touched = x.grad[0].abs().sum(dim=1) > 0
    assert touched.tolist() == [True] * 8 + [False] * 4


@pytest.mark.parametrize(
    ("kind", "over"), [("group", (2, 3)), ("layer", (1,)), ("batch", (0, 2)), ("none", None)]
)
def test_a_normalisation_takes_mean_and_variance_over_what_it_says(kind, over):
    x = 3 + 2 * torch.randn(16, 8, 10, generator=torch.Generator().manual_seed(0))
    grouped = x.view(16, 4, 2, 10) if kind == "group" else x
    want = grouped
    if over is not None:
        variance, mean = torch.var_mean(grouped, dim=over, keepdim=True, correction=0)
        want = (grouped - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(normalised(kind, 8, 4)(x), want.reshape(x.shape))


def test_dropout_is_off_in_evaluation_and_on_in_training():
    net, x = made("tcn", dropout=0.5), windows()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("model", MODELS)
def test_norms_and_head_can_be_distinguished_from_the_rest(model, normalisation):
    """What is adapted is chosen by the kinds of modules."""
    net = made(model, normalisation=normalisation)
    kinds = {"group": nn.GroupNorm, "layer": StepNorm, "batch": nn.BatchNorm1d}
    norms = [m for m in net.modules() if isinstance(m, tuple(kinds.values()))]
    assert len(norms) == (2 if normalisation != "none" else 0)
    assert all(isinstance(norm, kinds[normalisation]) for norm in norms)
    assert isinstance(StepNorm(3), nn.LayerNorm)
    assert net.head.out_features == 3


@pytest.mark.parametrize("model", MODELS)
def test_the_sizes_of_the_config_are_those_of_a_small_model(model):
    import yaml

    from scaling.config.folder import FOLDER

    settings = yaml.safe_load((FOLDER / "model" / f"{model}.yaml").read_text())
    settings.pop("_target_")
    scales = settings.pop("by_scale")
    net = MODELS[model](inputs=23, outputs=10, length=30, **settings)
    assert 10_000 <= sum(p.numel() for p in net.parameters()) <= 30_000
    for scale in ("tiny", "small"):
        smaller = settings | scales[scale]["model"]
        MODELS[model](inputs=23, outputs=10, length=30, **smaller)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": 1}, "takes windows of several time steps, not single vectors"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"groups": 3}, "groups=3 must divide width=8 into groups of at least 2"),
        ({"groups": 8}, "groups=8 must divide width=8 into groups of at least 2"),
        ({"normalisation": "weight"}, "normalisation=weight must be one of group, layer,"),
        ({"dropout": 1.0}, r"dropout=1.0 must lie in \[0, 1\)"),
    ],
)
def test_invalid_settings_are_refused(model, changes, said):
    with pytest.raises(ValueError, match=said):
        made(model, **changes)


@pytest.mark.parametrize("model", MODELS)
def test_windows_without_these_features_are_refused(model):
    net = made(model)
    with pytest.raises(ValueError, match="takes windows of measurements, not tokens"):
        net.logits(torch.ones(2, 12, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(2, 12, 6\) must be .* 5 input features"):
        net.losses((torch.ones(2, 12, 6), torch.zeros(2, dtype=torch.int64)))
