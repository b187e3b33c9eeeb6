"""Statistics over the mini-batches of an epoch against a slow and obvious reference."""

from functools import partial

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import STEPS, fit, module, text
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from scaling.callbacks.gradient_norms import GradientNorms
from scaling.callbacks.layer_epochs import LayerEpochs, summary
from scaling.callbacks.layer_gradients import LayerGradients
from scaling.callbacks.parameter_tensors import Layer
from scaling.storage.tables import read_parts

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.5),
    "adamw": partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1),
}
COLUMNS = (
    *("epoch", "layer", "kind", "size", "mean", "variance", "q05", "q50", "q95", "count"),
    *("rms", "coordinate_variance", "update_to_weight"),
)


class Slow(L.Callback):
    """Every tensor at every step, one at a time, in double precision, keeping everything."""

    def __init__(self):
        self.rows, self.seen = [], {}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen = {}
        for name, p in module.net.named_parameters():
            if p.grad is not None:
                variance, _ = torch.var_mean(p.grad.double(), correction=0)
                self.seen[name] = (p.grad.double().norm().item(), variance.item(), p.detach() + 0)
        self.rate = {
            id(p): group["lr"] * group["weight_decay"]
            for group in optimizer.param_groups
            for p in group["params"]
        }

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        for name, p in module.net.named_parameters():
            if name in self.seen:
                norm, variance, before = self.seen[name]
                kept = before * (1 - self.rate[id(p)])
                change = ((p.detach() - kept).norm() / before.norm()).item()
                self.rows.append(
                    {
                        "epoch": trainer.current_epoch,
                        "layer": name,
                        "size": p.numel(),
                        "norm": norm,
                        "rms": norm / p.numel() ** 0.5,
                        "coordinate_variance": variance,
                        "update_to_weight": change if before.any() else np.nan,
                    }
                )
        self.seen = {}

    def table(self) -> pd.DataFrame:
        rows = pd.DataFrame(self.rows)
        blocks = rows.groupby(["epoch", "layer"])
        norms = blocks["norm"]
        table = blocks[["size", "rms", "coordinate_variance", "update_to_weight"]].mean()
        return table.assign(
            mean=norms.mean(),
            variance=norms.var(),
            q05=norms.quantile(0.05),
            q50=norms.median(),
            q95=norms.quantile(0.95),
            count=norms.size(),
        )


def fitted(folder, optimizer, callbacks, *, microbatches=1, **settings):
    settings["accumulate_grad_batches"] = microbatches
    learner = module(OPTIMIZERS[optimizer], dropout=0.1)
    trainer = fit(learner, text(microbatches), folder, callbacks, **settings)
    return learner, trainer


def table(folder) -> pd.DataFrame:
    return read_parts(folder / "layer_epochs")


def assert_equal(got: pd.DataFrame, want: pd.DataFrame):
    got = got.set_index(["epoch", "layer"]).sort_index()
    assert got.index.equals(want.index)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=2e-3, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("flush_every", [1, 5, 50])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_column_agrees_with_a_slow_reference(tmp_path, optimizer, flush_every):
    slow = Slow()
    watching = [slow, LayerEpochs(flush_every=flush_every)]
    fitted(tmp_path, optimizer, watching, limit_train_batches=5, gradient_clip_val=0.1)
    got = table(tmp_path)
    assert tuple(got) == COLUMNS
    assert set(got["epoch"]) == {0, 1, 2}
    assert set(got[got["epoch"] < 2]["count"]) == {5}
    assert set(got[got["epoch"] == 2]["count"]) == {STEPS - 10}  # the last epoch is a partial one
    assert_equal(got, slow.table())


def test_accumulated_gradients_are_one_mini_batch(tmp_path):
    slow = Slow()
    fitted(tmp_path, "sgd", [LayerEpochs(flush_every=4), slow], microbatches=4, max_steps=6)
    got = table(tmp_path)
    assert set(got["count"]) == {6}
    rows = pd.DataFrame(slow.rows)
    assert (rows.groupby("layer").size() == 6).all()
    assert_equal(got, slow.table())


def test_statistics_are_those_before_clipping(tmp_path):
    for name, clip in (("free", None), ("clipped", 1e-3)):
        watching = [LayerEpochs(flush_every=4)]
        fitted(tmp_path / name, "sgd", watching, gradient_clip_val=clip, max_steps=1)
    free, clipped = table(tmp_path / "free"), table(tmp_path / "clipped")
    pd.testing.assert_frame_equal(
        free.drop(columns="update_to_weight"), clipped.drop(columns="update_to_weight")
    )
    moved = free["update_to_weight"].notna() & (free["mean"] > 0)
    smaller = clipped["update_to_weight"][moved] / free["update_to_weight"][moved]
    assert (smaller < 0.01).all()


def test_one_mini_batch_has_no_variance(tmp_path):
    fitted(tmp_path, "sgd", [LayerEpochs(flush_every=4)], max_steps=1)
    got = table(tmp_path)
    assert got["variance"].isna().all()
    assert (got["q05"] == got["mean"]).all()
    assert (got["count"] == 1).all()


def test_norms_agree_with_the_tables_of_the_other_callbacks(tmp_path):
    orders = [
        [GradientNorms(flush_every=5), LayerGradients(every=1, flush_every=3)],
        [LayerGradients(every=1, flush_every=3), GradientNorms(flush_every=5)],
    ]
    tables = []
    for i, others in enumerate(orders):
        watching = [others[0], LayerEpochs(flush_every=4), others[1]]
        fitted(tmp_path / str(i), "adamw", watching, gradient_clip_val=0.1)
        names = ("steps", "layers", "layer_epochs")
        tables.append([read_parts(tmp_path / str(i) / name) for name in names])
        steps, layers, epochs = tables[-1]
        total = layers.groupby("step")["grad_norm"].agg(lambda norms: (norms**2).sum() ** 0.5)
        np.testing.assert_allclose(total, steps["grad_norm_pre_clip"], rtol=1e-5)
        mean = layers.groupby("layer")[["grad_norm", "grad_rms", "grad_variance"]].mean()
        mine = epochs.set_index("layer")[["mean", "rms", "coordinate_variance"]]
        np.testing.assert_allclose(mine.loc[mean.index], mean, rtol=1e-5)
    for first, second in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(first, second)  # in either order of the callbacks


@pytest.mark.parametrize("which", ["steps", "layers"])
def test_other_tables_are_the_same_with_and_without_it(tmp_path, which):
    tables = []
    for extra in ([], [LayerEpochs(flush_every=4)]):
        watching = [*extra, GradientNorms(flush_every=5), LayerGradients(every=4, flush_every=3)]
        fitted(tmp_path / str(len(extra)), "adamw", watching)
        tables.append(read_parts(tmp_path / str(len(extra)) / which))
    pd.testing.assert_frame_equal(*tables)


def test_training_is_the_same_with_and_without_it(tmp_path):
    watched = [GradientNorms(flush_every=5), LayerEpochs(flush_every=2)]
    weights = [
        list(fitted(tmp_path, "adamw", callbacks, gradient_clip_val=0.5)[0].parameters())
        for callbacks in ([], [LayerEpochs(flush_every=2)], watched)
    ]
    for others in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], others, strict=True))


class Foreign(L.LightningModule):
    """A foreign module that uses one layer only now and then, and skips some micro-batches.

    Args:
        skipped: numbers of the micro-batches that give no loss.
    """

    def __init__(self, skipped=()):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.ModuleDict({"always": nn.Linear(4, 1), "at_times": nn.Linear(4, 1)})
        self.skipped = skipped

    def training_step(self, batch, batch_idx):
        if batch_idx in self.skipped:
            return None
        used = ["always", "at_times"] if batch_idx % 3 == 0 else ["always"]
        return sum(self.net[name](batch[0]).square().mean() for name in used)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self):
        torch.manual_seed(1)
        data = torch.utils.data.TensorDataset(torch.randn(32, 4))
        return torch.utils.data.DataLoader(data, batch_size=4)


def test_a_tensor_without_a_gradient_is_not_counted(tmp_path):
    slow = Slow()
    fit(Foreign(), None, tmp_path, [slow, LayerEpochs(flush_every=3)], max_epochs=2, max_steps=-1)
    got = table(tmp_path)
    counts = got.groupby("layer")["count"].unique().map(list).to_dict()
    assert counts["always.weight"] == [8]
    assert counts["at_times.weight"] == [3]  # of micro-batches 0, 3 and 6
    assert_equal(got[got["count"] > 1], slow.table())


@pytest.mark.filterwarnings("ignore:.*training_step. returned .None")
@pytest.mark.parametrize(("skipped", "steps"), [((1,), 7), ((2, 5, 6), 5), (range(8), 0)])
def test_micro_batches_without_a_loss_are_not_mini_batches(tmp_path, skipped, steps):
    fit(Foreign(skipped), None, tmp_path, [LayerEpochs(flush_every=3)], max_epochs=1, max_steps=-1)
    got = table(tmp_path)
    assert (
        len(got) == 0 if not steps else set(got["count"][got["layer"] == "always.bias"]) == {steps}
    )


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # before any step
def test_steps_that_the_scaler_skipped_are_not_mini_batches(tmp_path):
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**40))
    watching = [GradientNorms(flush_every=5), LayerEpochs(flush_every=5)]
    fitted(tmp_path, "sgd", watching, plugins=[plugin], max_steps=40)
    skipped = read_parts(tmp_path / "steps")["skipped"].sum()
    got = table(tmp_path)
    assert 0 < skipped < 40
    assert set(got["count"]) == {40 - skipped}
    assert np.isfinite(got["mean"]).all()


def test_sixteen_bit_gradients_are_measured_without_their_scale(tmp_path):
    fused = partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1, fused=True)
    for name, precision in (
        ("32", {}),
        ("16", {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]}),
    ):
        watching = [LayerEpochs(flush_every=5)]
        fit(module(fused), text(), tmp_path / name, watching, max_steps=3, **precision)
    got, want = table(tmp_path / "16"), table(tmp_path / "32")
    large = want["mean"] > 0.05
    assert large.sum() > 5
    np.testing.assert_allclose(got["mean"][large], want["mean"][large], rtol=0.05)
    np.testing.assert_allclose(
        got["coordinate_variance"][large], want["coordinate_variance"][large], rtol=0.1
    )


def test_a_run_that_diverged_has_rows_that_say_so(tmp_path):
    fit(module(partial(torch.optim.SGD, lr=1e30)), text(), tmp_path, [LayerEpochs(flush_every=5)])
    got = table(tmp_path)
    assert set(got["count"]) == {STEPS}
    assert not np.isfinite(got["mean"]).all()


def test_an_error_leaves_the_epochs_before_it(tmp_path):
    class Breaking(torch.optim.SGD):
        taken = 0

        def step(self, closure=None):
            loss = super().step(closure)
            self.taken += 1
            if self.taken == 8:
                raise RuntimeError("broken")
            return loss

    with pytest.raises(RuntimeError, match="broken"):
        fit(
            module(partial(Breaking, lr=0.1)), text(), tmp_path, [LayerEpochs(flush_every=2)],
            limit_train_batches=3,
        )  # fmt: skip
    got = table(tmp_path)
    assert sorted(set(got["epoch"])) == [0, 1]
    assert set(got["count"]) == {3}


def test_a_summary_of_known_numbers():
    norms = np.array([1.0, 2.0, 3.0, 4.0])
    values = np.stack([norms, [0.1, 0.2, 0.3, 0.4], [1.0, 1.0, 2.0, 2.0], [0.0, 2.0, 4.0, 1.0]])
    row = summary(Layer("a", "bias", 4), values)
    assert (row["mean"], row["count"], row["rms"]) == (2.5, 4, 1.25)
    assert row["variance"] == pytest.approx(5 / 3)
    assert (row["q05"], row["q50"], row["q95"]) == pytest.approx((1.15, 2.5, 3.85))
    assert row["coordinate_variance"] == pytest.approx(0.25)
    assert row["update_to_weight"] == pytest.approx((0.5 + 0.5 + 2.0) / 3)  # except for the zero


def test_the_variance_of_known_norms_is_unbiased():
    draws = np.random.default_rng(0)
    norms = 5 + 0.5 * draws.standard_normal((400, 5))
    found = [
        summary(Layer("a", "weight", 1), np.stack([few, few, few, few]))["variance"]
        for few in norms
    ]
    assert np.mean(found) == pytest.approx(0.25, rel=0.08)  # 400 variances of 5: sd 3.5 %


@pytest.mark.parametrize("flush_every", [0, -1])
def test_a_flush_interval_below_one_is_refused(flush_every):
    with pytest.raises(ValueError, match=f"flush_every={flush_every} must be at least 1"):
        LayerEpochs(flush_every=flush_every)
