"""Derived layer statistics: known geometry, a slow reference, and planted collapses."""

import itertools
import math

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import fit
from torch import nn

from scaling.analysis.gradient_flow import (
    collapse,
    depth_ratios,
    depth_slopes,
    epoch_losses,
    epoch_slopes,
    scatters,
)
from scaling.callbacks.gradient_norms import GradientNorms
from scaling.callbacks.layer_epochs import LayerEpochs
from scaling.storage.tables import read_parts

ASKED = {"loss": "train_loss", "early": 2, "share": 0.1, "still": 0.02, "stretch": 3}


def layers(rms: np.ndarray) -> pd.DataFrame:
    """Rows of a run: weights of `rms` (epochs x layers), and a different bias for each."""
    epochs, count = rms.shape
    kinds = ["weight", "bias"] * count
    names = [f"layers.{i // 2}.{kind}" for i, kind in enumerate(kinds)]
    values = np.outer(rms.ravel(), [1.0, 7.0]).ravel()
    return pd.DataFrame(
        {
            "epoch": np.repeat(np.arange(epochs), 2 * count),
            "layer": names * epochs,
            "kind": kinds * epochs,
            "size": 100,
            "count": 938,
            "mean": values * 10,
            "variance": (values * 10 * 0.3) ** 2,
            "rms": values,
        }
    )


def losses(values) -> pd.DataFrame:
    return pd.DataFrame({"epoch": np.arange(len(values)), "train_loss": values})


def geometric(depth: float, time: float) -> pd.DataFrame:
    """An RMS that changes by a factor of `depth` per layer and of `time` per epoch."""
    return layers(depth ** np.arange(5.0) * time ** np.arange(8.0)[:, None])


def test_rates_of_a_geometric_decay_are_its_own():
    table = geometric(depth=2.0, time=0.5)
    assert [found.ratio for found in depth_ratios(table)] == pytest.approx([1 / 16] * 8)
    assert [found.slope for found in depth_slopes(table)] == pytest.approx([math.log(2)] * 8)
    assert [found.slope for found in epoch_slopes(table)] == pytest.approx([-math.log(2)] * 5)
    assert {found.layers for found in depth_slopes(table)} == {5}
    assert {found.epochs for found in epoch_slopes(table)} == {8}
    assert depth_ratios(table)[0].first == "layers.0.weight"  # of weights, not of biases
    assert depth_ratios(table)[0].last == "layers.4.weight"
    assert [found.layer for found in epoch_slopes(table)][-1] == "layers.4.weight"


def test_layers_keep_the_order_of_the_module_and_not_of_the_letters():
    table = layers(np.full((2, 12), 1.0) * np.arange(1, 13))
    assert depth_ratios(table)[0].last == "layers.11.weight"
    assert depth_ratios(table)[0].ratio == pytest.approx(1 / 12)


def test_another_measure_can_be_chosen():
    table = geometric(2.0, 1.0)
    table.loc[table["layer"] == "layers.0.weight", "mean"] *= 8
    assert depth_ratios(table, measure="mean")[0].ratio == pytest.approx(0.5)
    assert depth_ratios(table)[0].ratio == pytest.approx(1 / 16)


def test_slopes_equal_those_of_polyfit():
    draws = np.random.default_rng(0)
    rms = draws.lognormal(size=(6, 9))
    table = layers(rms)
    for found, line in zip(depth_slopes(table), rms, strict=True):
        assert found.slope == pytest.approx(np.polyfit(np.arange(9), np.log(line), 1)[0])
    for found, line in zip(epoch_slopes(table), rms.T, strict=True):
        assert found.slope == pytest.approx(np.polyfit(np.arange(6), np.log(line), 1)[0])


def test_planted_rates_are_recovered_without_bias():
    draws = np.random.default_rng(1)
    found = []
    for _ in range(200):
        trend = np.exp(0.3 * np.arange(8) - 0.1 * np.arange(10)[:, None])
        table = layers(trend * draws.lognormal(sigma=0.2, size=(10, 8)))
        over_depth = np.mean([line.slope for line in depth_slopes(table)])
        over_time = np.mean([line.slope for line in epoch_slopes(table)])
        found.append((over_depth, over_time))
    assert np.mean(found, axis=0) == pytest.approx([0.3, -0.1], abs=0.003)


def test_a_layer_without_gradient_has_no_log_and_no_ratio():
    rms = np.ones((3, 4))
    rms[:, 0], rms[1, -1] = 0, 0
    table = layers(rms)
    assert [found.ratio for found in depth_ratios(table)] == pytest.approx(
        [0, math.nan, 0], nan_ok=True
    )
    assert [found.layers for found in depth_slopes(table)] == [3, 2, 3]
    assert math.isnan(epoch_slopes(table)[0].slope)
    assert epoch_slopes(table)[0].epochs == 0


def test_the_variation_within_an_epoch_is_the_deviation_over_the_mean():
    found = scatters(geometric(2.0, 0.5))
    assert len(found) == 8 * 10  # biases included
    assert [line.variation for line in found] == pytest.approx([0.3] * 80)
    single = geometric(2.0, 0.5).assign(variance=math.nan)
    assert all(math.isnan(line.variation) for line in scatters(single))


def test_losses_of_epochs_are_means_over_their_steps():
    table = layers(np.ones((3, 2)))
    table.loc[table["epoch"] == 2, "count"] = 100  # a partial one
    draws = np.random.default_rng(0)
    values = draws.random(938 * 2 + 100)
    steps = pd.DataFrame({"step": np.arange(len(values)), "train_loss": values, "skipped": False})
    found = epoch_losses(steps.sample(frac=1, random_state=0), table)
    want = [values[:938].mean(), values[938:1876].mean(), values[1876:].mean()]
    assert found["train_loss"].tolist() == pytest.approx(want)
    steps.loc[5, "skipped"] = True
    with pytest.raises(ValueError, match="1975 steps, but the layers count 1976"):
        epoch_losses(steps, table)


def slow_collapse(rms, loss, *, early, share, still, stretch):
    """The definition of a collapse, epoch by epoch and layer by layer."""
    for begin in range(1, len(rms)):
        if begin + stretch > len(rms):
            return None
        if loss[begin] - loss[begin + stretch - 1] >= still * loss[begin]:
            continue
        for layer in range(early):
            lost = True
            for epoch in range(begin, begin + stretch):
                start = rms[0][layer] * min(1, loss[epoch] / loss[0])
                lost = lost and rms[epoch][layer] < share * start
            if lost:
                return begin
    return None


def planted(draws: np.random.Generator, kind: str, epochs: int = 20, depth: int = 8):
    """RMS and training loss of a run, and the epoch in which its early layers were lost.

    `collapsed`: they fall by 30 to 1,000 times within two epochs, and the loss is constant from
    there. `converged`: the loss falls exponentially or as a power of the epoch, perhaps to a floor,
    and all gradients with it, as the loss or as its square root. `stuck`: neither the loss nor
    gradients fall. `slow`: gradients halve while the loss still falls. `learning`: early layers are
    lost and the later ones continue to learn.
    """
    t = np.arange(epochs)
    start = np.exp(draws.normal(0, 1, depth))
    fall = np.exp(-draws.uniform(0.1, 1) * t)
    if draws.random() < 0.5:
        fall = (1 + t) ** -draws.uniform(0.5, 2)
    if draws.random() < 0.5:
        fall = np.maximum(fall, draws.uniform(0.001, 0.3))  # a schedule ends, and nothing changes
    onset = None
    rms = np.ones((epochs, depth))
    if kind == "collapsed":
        onset = int(draws.integers(2, 12))
        loss = np.where(t < onset, draws.uniform(0.95, 1, epochs), 0.95)
        lost = 10 ** -draws.uniform(1.5, 3) * np.ones(epochs)
        rms[:, :3] = np.where(t < onset, 1, lost)[:, None]
    elif kind == "converged":
        loss = fall
        rms *= (fall ** draws.uniform(0.5, 1))[:, None]
    elif kind == "stuck":
        loss = np.ones(epochs)
    elif kind == "slow":
        loss = 1 - 0.04 * t
        rms *= (1 - 0.025 * t)[:, None]
    else:
        loss = np.exp(-0.1 * t)
        rms[5:, :2] = 1e-3
    noise = draws.lognormal(sigma=0.1, size=rms.shape)
    return rms * start * noise, 2.3 * loss * draws.lognormal(sigma=0.003, size=epochs), onset


@pytest.mark.parametrize("kind", ["collapsed", "converged", "stuck", "slow", "learning"])
def test_the_detector_agrees_with_a_slow_reference(kind):
    draws = np.random.default_rng(2)
    asked = {key: value for key, value in ASKED.items() if key != "loss"}
    for _ in range(50):
        rms, loss, _ = planted(draws, kind)
        found = collapse(layers(rms), losses(loss), **ASKED)
        assert found.onset == slow_collapse(rms, loss, **asked)
        assert (found.onset is None) == bool(found.reason) == (found.layer is None)


def test_planted_collapses_are_found_in_their_epoch():
    draws = np.random.default_rng(3)
    found, onsets = [], []
    for _ in range(300):
        rms, loss, onset = planted(draws, "collapsed")
        found.append(collapse(layers(rms), losses(loss), **ASKED))
        onsets.append(onset)
    late = [one.onset - onset for one, onset in zip(found, onsets, strict=True) if one.layer]
    assert len(late) == 300
    assert np.mean(np.array(late) == 0) >= 0.98
    assert {one.layer for one in found} == {"layers.0.weight", "layers.1.weight"}


@pytest.mark.parametrize("kind", ["converged", "stuck", "slow", "learning"])
def test_no_collapse_is_found_without_one(kind):
    draws = np.random.default_rng(4)
    alarms = 0
    for _ in range(300):
        rms, loss, _ = planted(draws, kind)
        alarms += collapse(layers(rms), losses(loss), **ASKED).onset is not None
    assert alarms <= 3  # 1 %


def test_convergence_would_be_called_collapse_if_the_loss_were_ignored():
    draws = np.random.default_rng(5)
    low = 0
    for _ in range(100):
        rms, _, _ = planted(draws, "converged")
        low += (rms[:, 0] < ASKED["share"] * rms[0, 0]).any()
    assert low > 30  # so the test above could fail


def test_a_collapse_of_later_layers_only_is_not_one_of_early_layers():
    rms = np.ones((10, 6))
    rms[4:, 3] = 1e-6
    table, loss = layers(rms), losses(np.full(10, 2.3))
    assert collapse(table, loss, **ASKED).onset is None
    found = collapse(table, loss, **ASKED | {"early": 4})
    assert (found.onset, found.layer) == (4, "layers.3.weight")
    assert found.lowest == pytest.approx(1e-6)


def test_too_few_epochs_are_reported():
    found = collapse(layers(np.ones((3, 4))), losses([1.0, 1.0, 1.0]), **ASKED)
    assert (found.onset, found.reason) == (None, "3 epochs; 4 needed")


def test_a_diverged_run_has_not_collapsed():
    rms, loss = np.ones((8, 4)), np.ones(8)
    rms[4:], loss[4:] = math.nan, math.nan
    assert collapse(layers(rms), losses(loss), **ASKED).onset is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"share": 1.0}, r"share=1.0 must lie between 0 and 1"),
        ({"still": 0.0}, r"still=0.0 must lie between 0 and 1"),
        ({"stretch": 1}, r"stretch=1 must be at least 2 epochs"),
        ({"early": 0}, r"early=0 must be 1 to 4"),
        ({"early": 5}, r"early=5 must be 1 to 4"),
        ({"loss": "val_loss"}, r"no column val_loss"),
    ],
)
def test_invalid_arguments_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        collapse(layers(np.ones((6, 4))), losses(np.ones(6)), **ASKED | changed)


def test_tables_that_cannot_be_judged_are_refused():
    table = layers(np.ones((6, 4)))
    with pytest.raises(ValueError, match="no train_loss for epoch 5"):
        collapse(table, losses(np.ones(5)), **ASKED)
    both = pd.concat([table.assign(run="a"), table.assign(run="b")])
    with pytest.raises(ValueError, match="run has several values"):
        depth_ratios(both)
    with pytest.raises(ValueError, match="no column rms"):
        depth_slopes(table.drop(columns="rms"))
    with pytest.raises(ValueError, match="no weight tensor"):
        epoch_slopes(table[table["kind"] == "bias"])


class Blobs(L.LightningModule):
    """Four clouds of points and a deep ReLU net, whose units all die before epoch `death`."""

    def __init__(self, death: int | None):
        super().__init__()
        torch.manual_seed(0)
        sizes = [2, 16, 16, 16, 4]
        linear = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        self.net = nn.Sequential(
            *(part for layer in linear[:-1] for part in (layer, nn.ReLU())), linear[-1]
        )
        self.death = death

    def on_train_epoch_start(self):
        if self.current_epoch == self.death:
            with torch.no_grad():
                self.net[2].bias -= 1e3

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def train_dataloader(self):
        draws = torch.Generator().manual_seed(0)
        labels = torch.arange(256) % 4
        centres = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        points = centres[labels] + 0.2 * torch.randn(256, 2, generator=draws)
        data = torch.utils.data.TensorDataset(points, labels)
        return torch.utils.data.DataLoader(data, batch_size=32, shuffle=True, generator=draws)


@pytest.mark.parametrize("death", [None, 3])
def test_a_net_whose_units_die_has_collapsed_and_one_that_learns_has_not(tmp_path, death):
    watching = [GradientNorms(flush_every=10), LayerEpochs(flush_every=10)]
    fit(Blobs(death), None, tmp_path, watching, max_epochs=12, max_steps=-1)
    table, steps = read_parts(tmp_path / "layer_epochs"), read_parts(tmp_path / "steps")
    means = epoch_losses(steps, table)
    found = collapse(table, means, **ASKED)
    if death is None:
        assert found.onset is None
        last = table[(table["epoch"] == 11) & (table["kind"] == "weight")]["rms"].to_numpy()
        first = table[(table["epoch"] == 0) & (table["kind"] == "weight")]["rms"].to_numpy()
        assert (last[:2] < 0.1 * first[:2]).all()  # they also vanish once all is learned
        assert means["train_loss"].iloc[-1] < 0.05
    else:  # the last bias takes a while to unlearn; then the loss is constant
        assert found.onset in (death, death + 1)
        assert found.lowest == 0


def test_two_lines_of_a_layer_in_one_epoch_are_refused():
    table = geometric(depth=2.0, time=0.5)
    twice = pd.concat([table, table[table["epoch"] == 3]])
    with pytest.raises(ValueError, match=r"layer layers\.0\.weight has two lines in epoch 3; give"):
        depth_ratios(twice)
