"""Probes of the noise scale against gradients taken one by one, with every source of them."""

import re
import warnings
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import fit, module, text
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.nn import functional as F

import scaling
from scaling.callbacks.noise_scale import NoiseScale
from scaling.callbacks.probe_passes import untouched
from scaling.models.learner import Learner
from scaling.storage.tables import read_parts

SGD = partial(torch.optim.SGD, lr=0.5)
constant = partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0)


def probes(folder) -> pd.DataFrame:
    return read_parts(folder / "probes")


def gradients_of(learner: Learner, parts) -> list[list[torch.Tensor]]:
    """The gradient of the mean loss of each part, tensor by tensor."""
    gradients = []
    for part in parts:
        learner.zero_grad()
        learner.losses(part).mean().backward()
        gradients.append([p.grad.double() for p in learner.parameters()])
    return gradients


def check_first_probe(table: pd.DataFrame, learner: Learner, parts, *, rtol: float = 1e-4) -> None:
    """Compare the first step of a table with the gradients of parts of its batch."""
    first = table[table["step"] == 0]
    gradients = gradients_of(learner, parts)
    small = [np.mean([g.square().sum() for g in same]) for same in zip(*gradients, strict=True)]
    means = [torch.stack(same).mean(0) for same in zip(*gradients, strict=True)]
    names = [name.removeprefix("net.") for name, _ in learner.named_parameters()]
    want = pd.DataFrame(
        {"small": small, "big": [g.square().sum().item() for g in means]}, index=names
    )
    got = first.set_index("layer")
    assert sorted(got.index) == sorted(names)
    for size in ("small", "big"):
        np.testing.assert_allclose(
            got[f"{size}_norm_squared"], want[size][got.index], rtol=rtol, atol=1e-9
        )


def first_batch(data):
    data.prepare()
    return next(iter(data.train_dataloader()))


def split(batch, parts: int):
    return list(zip(*(x.chunk(parts) for x in batch), strict=True))


def test_without_accumulation_the_small_batches_are_examples(tmp_path):
    fit(module(SGD), text(), tmp_path, [NoiseScale(every=4)], gradient_clip_val=0.1)
    table = probes(tmp_path)
    assert sorted(table["step"].unique()) == [0, 4, 8]
    assert table[["small_batch", "big_batch"]].drop_duplicates().to_numpy().tolist() == [[1, 8]]
    assert set(table["source"]) == {"per example"}
    assert set(table["unit"]) == {"examples"}
    check_first_probe(table, module(SGD), split(first_batch(text()), 8))


def test_with_accumulation_the_small_batches_are_micro_batches(tmp_path):
    settings = {"accumulate_grad_batches": 4, "gradient_clip_val": 0.1}
    fit(module(SGD), text(4), tmp_path, [NoiseScale(every=5)], **settings)
    table = probes(tmp_path)
    assert sorted(table["step"].unique()) == [0, 5, 10]
    assert table[["small_batch", "big_batch"]].drop_duplicates().to_numpy().tolist() == [[2, 8]]
    assert set(table["source"]) == {"accumulation"}
    check_first_probe(table, module(SGD), split(first_batch(text()), 4))


class Normalised(nn.Module):
    """Batch normalisation and dropout, and a parameter that hooks do not see."""

    def __init__(self, *, batch_norm: bool = True):
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.norm = nn.BatchNorm1d(5) if batch_norm else nn.Identity()
        self.scale = nn.Parameter(torch.ones(5))
        self.last, self.dropout = nn.Linear(5, 3), nn.Dropout(0.3 if batch_norm else 0.0)

    def losses(self, batch):
        h = self.dropout(self.norm(self.first(batch[0])) * self.scale)
        return F.cross_entropy(self.last(h), batch[1], reduction="none")


def learner_of(net: nn.Module) -> Learner:
    return Learner(net, optimizer=SGD, schedule=constant, seed=0)


def normalised(**settings) -> Learner:
    torch.manual_seed(0)
    return learner_of(Normalised(**settings))


def batches(size: int = 10, examples: int = 60) -> torch.utils.data.DataLoader:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 6, generator=draws)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=size)


def test_where_hooks_do_not_see_everything_parts_of_the_batch_pass_again(tmp_path):
    fit(normalised(batch_norm=False), batches(16, 64), tmp_path, [NoiseScale(every=6)])
    table = probes(tmp_path)
    assert set(table["source"]) == {"parts"}
    assert table[["small_batch", "big_batch"]].drop_duplicates().to_numpy().tolist() == [[2, 16]]
    first = next(iter(batches(16, 64)))
    check_first_probe(table, normalised(batch_norm=False), split(first, 8))


def test_parts_of_different_sizes_count_by_their_harmonic_mean(tmp_path):
    fit(normalised(batch_norm=False), batches(7, 42), tmp_path, [NoiseScale(every=6)])
    table = probes(tmp_path)
    assert table["small_batch"].iloc[0] == pytest.approx(3 / (1 / 3 + 1 / 2 + 1 / 2))
    assert table["big_batch"].iloc[0] == pytest.approx(9 / (1 / 3 + 1 / 2 + 1 / 2))


@pytest.mark.parametrize("source", ["per example", "accumulation", "parts"])
def test_training_is_the_same_with_and_without_it(tmp_path, source):
    weights = []
    for callbacks in ([], [NoiseScale(every=2)]):
        learner = normalised() if source == "parts" else module(SGD, dropout=0.2)
        micro = 4 if source == "accumulation" else 1
        data = batches() if source == "parts" else text(micro)
        settings = {"accumulate_grad_batches": micro, "gradient_clip_val": 0.5}
        fit(learner, data, tmp_path, callbacks, **settings)
        weights.append({k: x.clone() for k, x in learner.state_dict().items()})
    assert set(probes(tmp_path)["source"]) == {source}
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_random_state_and_buffers_are_restored_also_after_an_error():
    norm = nn.BatchNorm1d(3)
    state = torch.get_rng_state()

    def fail():
        with untouched(norm):
            norm(torch.randn(5, 3))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert torch.equal(torch.get_rng_state(), state)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(3))


class Plain(L.LightningModule):
    """A module that knows nothing of this project and logs what it likes."""

    def __init__(self, layers: nn.Module | None = None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = layers or nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Manual(Plain):
    """Steps by hand after `group` micro-batches, and clips by hand before."""

    automatic_optimization = False
    group = 1

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss / self.group)
        if (batch_idx + 1) % self.group == 0:
            optimizer = self.optimizers()
            self.clip_gradients(optimizer, 0.01, "norm")
            optimizer.step()
            optimizer.zero_grad()


def plain_gradients(x, y) -> list[torch.Tensor]:
    plain = Plain()
    F.cross_entropy(plain.layers(x), y).backward()
    return [p.grad.double() for p in plain.parameters()]


@pytest.mark.parametrize("group", [1, 2])
def test_manual_optimization_is_measured_before_its_own_clipping(tmp_path, group):
    manual = Manual()
    manual.group = group
    fit(manual, batches(), tmp_path, [NoiseScale(every=3)], max_steps=6)
    table = probes(tmp_path)
    assert sorted(table["step"].unique()) == [0, 3]
    assert set(table["source"]) == {"per example" if group == 1 else "accumulation"}
    x, y = next(iter(batches(10 * group)))
    whole = plain_gradients(x, y)
    first = table[table["step"] == 0].set_index("layer")
    for name, gradient in zip(("0.weight", "0.bias", "2.weight", "2.bias"), whole, strict=True):
        got = first.loc[f"layers.{name}", "big_norm_squared"]
        assert got == pytest.approx(gradient.square().sum().item(), rel=1e-4)
    parts = [plain_gradients(*part) for part in zip(x.chunk(group), y.chunk(group), strict=True)]
    if group == 2:
        want = np.mean([sum(g.square().sum().item() for g in part) for part in parts])
        assert first["small_norm_squared"].sum() == pytest.approx(want, rel=1e-4)


def test_a_module_may_take_its_batch_apart_by_hand(tmp_path):
    class Apart(Plain):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            for x, y in zip(batch[0].chunk(5), batch[1].chunk(5), strict=True):
                self.manual_backward(F.cross_entropy(self.layers(x), y) / 5)
            optimizer.step()

    fit(Apart(), batches(), tmp_path, [NoiseScale(every=6)])
    table = probes(tmp_path)
    assert table[["small_batch", "big_batch"]].drop_duplicates().to_numpy().tolist() == [[2, 10]]
    assert set(table["source"]) == {"accumulation"}


def test_a_plain_module_in_bf16_has_nearly_the_same_probes(tmp_path):
    for name, settings in {"32": {}, "16": {"precision": "bf16-mixed"}}.items():
        fit(Plain(), batches(), tmp_path / name, [NoiseScale(every=50)], **settings)
    exact, coarse = probes(tmp_path / "32"), probes(tmp_path / "16")
    assert set(coarse["source"]) == {"per example"}
    for column in ("small_norm_squared", "big_norm_squared"):
        np.testing.assert_allclose(coarse[column], exact[column], rtol=0.05)


def test_the_lines_in_the_guide_run_with_a_plain_module(folder, capsys):
    page = Path(__file__).parents[2] / "docs" / "guides" / "noise_scale.md"
    (code,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the defaults of a trainer
        exec(code.replace("max_steps=400", "max_steps=21"), {"module": Plain(), "data": batches()})
    assert "2 probes; an interval needs at least 10" in capsys.readouterr().out


class Unseen(Plain):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        return self.scale * super().training_step(batch, batch_idx)


class WithLosses(Unseen):
    def losses(self, batch):
        return self.scale * F.cross_entropy(self.layers(batch[0]), batch[1], reduction="none")


@pytest.mark.parametrize("source", ["per example", "accumulation", "parts"])
def test_the_scale_of_a_loss_is_undone_and_overflows_are_left_out(tmp_path, source):
    def train(folder, plugins):
        net = WithLosses() if source == "parts" else Plain()
        micro = 2 if source == "accumulation" else 1
        watching = [NoiseScale(every=2)]
        settings = {"accumulate_grad_batches": micro, "plugins": plugins}
        fit(net, batches(), folder, watching, **settings)
        return probes(folder)

    def plugin(scale):
        return [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))]

    exact, coarse = train(tmp_path / "32", []), train(tmp_path / "16", plugin(1024.0))
    first = coarse[coarse["step"] == 0]
    assert set(first["source"]) == {source}
    for column in ("small_norm_squared", "big_norm_squared"):
        np.testing.assert_allclose(first[column], exact[column][exact["step"] == 0], rtol=0.05)
    overflowed = train(tmp_path / "inf", plugin(2.0**40))
    steps = overflowed["step"].unique() if len(overflowed) else []
    assert 0 not in steps
    assert len(steps) < 6


@pytest.mark.parametrize(
    ("build", "size", "message"),
    [
        (Unseen, 10, "does not see scale in single examples; accumulate gradients, or give U"),
        (
            lambda: Plain(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))), 10,
            "no gradients of single examples under batch normalisation; accumulate",
        ),
        (Plain, 1, "needs 2 examples in a batch, but this one has 1; accumulate gradients, or"),
        (
            lambda: Plain(nn.Embedding(5, 3, sparse=True)), 10,
            "needs dense gradients; set sparse=False in layers",
        ),
    ],
)  # fmt: skip
def test_what_it_cannot_measure_is_refused_in_one_line(tmp_path, build, size, message):
    with pytest.raises(ValueError, match=message) as refused:
        fit(build(), batches(size), tmp_path, [NoiseScale(every=2)])
    assert "\n" not in str(refused.value)


def test_unseen_parameters_are_fine_with_accumulation(tmp_path):
    fit(Unseen(), batches(), tmp_path, [NoiseScale(every=2)], accumulate_grad_batches=2)
    assert set(probes(tmp_path)["source"]) == {"accumulation"}
    assert "scale" in set(probes(tmp_path)["layer"])


def test_frozen_parameters_have_no_rows(tmp_path):
    plain = Plain()
    plain.layers[0].requires_grad_(False)
    fit(plain, batches(), tmp_path, [NoiseScale(every=2)])
    assert set(probes(tmp_path)["layer"]) == {"layers.2.weight", "layers.2.bias"}


def test_a_last_batch_of_one_example_has_no_probe(tmp_path):
    fit(Plain(), batches(10, 61), tmp_path, [NoiseScale(every=3)], max_steps=10)
    assert sorted(probes(tmp_path)["step"].unique()) == [0, 3, 9]


def test_an_incomplete_group_of_one_micro_batch_has_no_probe(tmp_path):
    settings = {"accumulate_grad_batches": 2, "max_steps": 8}
    fit(Plain(), batches(10, 70), tmp_path, [NoiseScale(every=1)], **settings)
    assert sorted(probes(tmp_path)["step"].unique()) == [0, 1, 2, 4, 5, 6]


def test_an_exception_leaves_nothing_watching(tmp_path):
    class Broken(Plain):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("broken in the forward pass")

    with pytest.raises(RuntimeError, match="broken in the forward"):
        fit(Broken(), batches(), tmp_path, [NoiseScale(every=1)])
    assert torch.overrides._get_current_function_mode() is None


@pytest.mark.parametrize("settings", [{"every": 0}, {"every": 1, "flush_every": 0}])
def test_intervals_below_one_step_are_refused(settings):
    with pytest.raises(ValueError, match="must be at least 1"):
        NoiseScale(**settings)


def test_the_row_has_the_noise_scale_of_the_last_probes(tmp_path):
    watching = NoiseScale(every=1)
    fit(Plain(), batches(30, 600), tmp_path, [watching], max_steps=60)
    table = probes(tmp_path)
    estimate = scaling.noise_scale(table[table["step"] >= 18])  # the last 70 % of 60
    assert estimate.identified
    row = watching.columns()
    assert (row["noise_scale"], row["noise_scale_low"], row["noise_scale_high"]) == (
        estimate.value,
        estimate.low,
        estimate.high,
    )
    assert row["noise_scale_percent"] > 0
    assert row["noise_scale_probes"] == estimate.probes == 42


def test_too_few_probes_leave_the_row_without_a_noise_scale(tmp_path):
    watching = NoiseScale(every=2)
    fit(Plain(), batches(), tmp_path, [watching])
    row = watching.columns()
    assert set(row) == {"noise_scale_percent", "noise_scale_probes"}
    assert row["noise_scale_probes"] == 4  # of 6


def test_probes_that_are_not_finite_are_not_counted(tmp_path):
    data = batches()
    data.dataset.tensors[0][40:] = torch.nan  # the last batches of an epoch
    watching = NoiseScale(every=1)
    fit(Plain(), data, tmp_path, [watching])
    assert probes(tmp_path)["small_norm_squared"].isna().any()
    assert set(watching.columns()) == {"noise_scale_percent"}


def test_a_command_records_probes_and_says_if_they_are_too_few(command):
    ended = command("callbacks=noise_scale", "callbacks.noise_scale.every=2")
    assert ended.code == 0
    assert (
        "warning   noise scale not identified: 2 probes; an interval needs at least 10; a run "
        "needs 14 probes: lower callbacks.noise_scale.every, or train for more steps"
    ) in ended.out
    table = scaling.table("probes", "multirun/scratch")
    assert sorted(table["step"].unique()) == [0, 2, 4]
    got = scaling.noise_scale(table)
    assert got.reason == "3 probes; an interval needs at least 10"
    layers = scaling.layer_noise_scales(table)["layer"]
    assert "embedding.weight" in set(layers)
    assert "noise_scale_percent" in scaling.read("multirun/scratch")


def test_a_resumed_run_continues_the_probes(tmp_path):
    fit(module(SGD), text(), tmp_path / "parts", [first := NoiseScale(every=2)], max_steps=6)
    again = NoiseScale(every=2)
    again.load_state_dict(first.state_dict())
    fit(module(SGD), text(), tmp_path / "parts", [again])
    assert len(probes(tmp_path / "parts")) == first.recorder.rows * 3
