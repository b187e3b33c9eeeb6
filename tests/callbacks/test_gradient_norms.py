"""Norms of each step against a loop written by hand over the same batches."""

import math
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import STEPS, fit, module, text
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from scaling.callbacks.divergence import Divergence
from scaling.callbacks.evaluation_table import Evaluations
from scaling.callbacks.gradient_norms import GradientNorms
from scaling.callbacks.optimizer_step import loss_of
from scaling.storage.tables import read_parts

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.5),
    "sgd_decay": partial(torch.optim.SGD, lr=0.5, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1),
}


def measured(optimizer, folder, *, microbatches=1, **settings) -> pd.DataFrame:
    norms = GradientNorms(flush_every=5)
    settings["accumulate_grad_batches"] = microbatches
    fit(module(optimizer), text(microbatches), folder, [norms], **settings)
    return read_parts(folder / "steps")


def by_hand(optimizer, clip: float) -> pd.DataFrame:
    """The same steps in plain torch, with norms taken the slow and obvious way."""
    learner, data = module(optimizer), text()
    data.prepare()
    stepper = learner.configure_optimizers()["optimizer"]
    rows = []
    for (x, y), _ in zip(data.train_dataloader(), range(STEPS), strict=False):
        trained = list(learner.parameters())
        before = [p.detach().clone() for p in trained]
        loss = learner.net.losses((x, y)).mean()
        stepper.zero_grad()
        loss.backward()
        pre = math.sqrt(sum(p.grad.double().square().sum().item() for p in trained))
        nn.utils.clip_grad_norm_(trained, clip)
        post = math.sqrt(sum(p.grad.double().square().sum().item() for p in trained))
        stepper.step()
        rate = stepper.param_groups[0]["lr"] * stepper.param_groups[0]["weight_decay"]
        decay = [rate * b if b.ndim >= 2 else 0 * b for b in before]
        change = [p.detach() - b + d for p, b, d in zip(trained, before, decay, strict=True)]
        rows.append(
            {
                "train_loss": loss.item(),
                "grad_norm_pre_clip": pre,
                "grad_norm_post_clip": post,
                "clipped": pre > clip,
                "update_norm": math.sqrt(sum(c.double().square().sum().item() for c in change)),
                "decay_norm": math.sqrt(sum(d.double().square().sum().item() for d in decay)),
                "param_norm": math.sqrt(sum(b.double().square().sum().item() for b in before)),
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("clip", [0.1, 1.0, math.inf])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_column_agrees_with_a_loop_written_by_hand(tmp_path, name, clip):
    got = measured(OPTIMIZERS[name], tmp_path, gradient_clip_val=None if math.isinf(clip) else clip)
    want = by_hand(OPTIMIZERS[name], clip)
    assert got["step"].tolist() == list(range(STEPS))
    assert got["clipped"].tolist() == want["clipped"].tolist()
    for column in ("train_loss", "grad_norm_pre_clip", "grad_norm_post_clip", "param_norm"):
        np.testing.assert_allclose(got[column], want[column], rtol=1e-5, err_msg=column)
    # A change is the difference of two rounded weights, so it is known less exactly.
    for column in ("update_norm", "decay_norm"):
        np.testing.assert_allclose(got[column], want[column], rtol=1e-4, atol=1e-9)
    assert (got["grad_norm_post_clip"] <= clip * (1 + 1e-5)).all()
    assert got["grad_norm_pre_clip"].iloc[0] > 1  # the case in which the two must differ


def test_infinite_clip_and_no_clip_are_the_same(tmp_path):
    tables = [
        measured(OPTIMIZERS["adamw"], tmp_path / str(clip), gradient_clip_val=clip)
        for clip in (None, math.inf)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert not tables[0]["clipped"].any()
    assert (tables[0]["clip_coefficient"] == 1).all()


def test_accumulated_gradients_measure_like_one_large_batch(tmp_path):
    whole = measured(OPTIMIZERS["sgd"], tmp_path / "1", gradient_clip_val=0.5)
    parts = measured(OPTIMIZERS["sgd"], tmp_path / "4", gradient_clip_val=0.5, microbatches=4)
    assert len(parts) == STEPS
    for column in ("train_loss", "grad_norm_pre_clip", "grad_norm_post_clip", "update_norm"):
        np.testing.assert_allclose(parts[column], whole[column], rtol=1e-4, err_msg=column)


class Losses(L.Callback):
    """The results of `loss_of` for each batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        loss = loss_of(trainer, outputs)
        self.seen.append(math.nan if loss is None else loss.item())


class Groups(L.LightningModule):
    """A foreign module that returns its losses in one of several forms, and records them."""

    def __init__(self, examples: int, form: str):
        super().__init__()
        self.linear, self.form, self.given = nn.Linear(3, 1), form, []
        torch.manual_seed(0)
        self.data = torch.utils.data.TensorDataset(torch.randn(examples, 3))

    def training_step(self, batch, batch_idx):
        loss = (self.linear(batch[0]) - 7).square().mean()
        if self.form == "none" and batch_idx % 4 == 1:
            self.given.append(math.nan)
            return None
        self.given.append(loss.item())
        return {"dict": {"loss": loss, "more": 1}, "vector": loss[None]}.get(self.form, loss)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.data, batch_size=8)


@pytest.mark.filterwarnings("ignore:.*returned `None`")  # which is tested here
@pytest.mark.parametrize("form", ["scalar", "dict", "vector", "none"])
@pytest.mark.parametrize(
    ("examples", "settings", "groups"),
    [
        (24, {}, [3]),  # of 4: the last group of an epoch is short
        (40, {}, [4, 1]),
        (80, {"limit_train_batches": 6}, [4, 2]),
        (64, {"log_every_n_steps": 0}, [4, 4]),
    ],
)
def test_the_loss_of_a_step_is_the_mean_of_those_that_its_parts_gave(
    tmp_path, examples, settings, groups, form
):
    learner, norms, losses = Groups(examples, form), GradientNorms(flush_every=50), Losses()
    settings |= {"accumulate_grad_batches": 4, "max_steps": -1, "max_epochs": 1}
    fit(learner, None, tmp_path, [norms, Divergence(every=1), losses], **settings)
    np.testing.assert_allclose(losses.seen, learner.given, rtol=1e-6)
    parts = np.split(np.array(learner.given), np.cumsum(groups)[:-1])
    want = [np.nanmean(part) for part in parts]
    np.testing.assert_allclose(read_parts(tmp_path / "steps")["train_loss"], want, rtol=1e-6)


def test_the_gradient_of_a_short_group_is_smaller_in_proportion(tmp_path):
    """Because Lightning divides every loss by `accumulate_grad_batches`."""
    norms = {}
    for parts in (1, 4):
        learner = Groups(8, "scalar")  # one batch an epoch
        nn.init.ones_(learner.linear.weight)
        nn.init.zeros_(learner.linear.bias)
        settings = {"accumulate_grad_batches": parts, "max_steps": -1, "max_epochs": 1}
        fit(learner, None, tmp_path / str(parts), [GradientNorms(flush_every=1)], **settings)
        norms[parts] = read_parts(tmp_path / str(parts) / "steps")["grad_norm_pre_clip"].item()
    assert norms[4] == pytest.approx(norms[1] / 4, rel=1e-6)


def test_nothing_is_logged_where_the_trainer_logs_nothing(tmp_path):
    for every, lines in ((0, 0), (2, 2)):
        logger = L.pytorch.loggers.CSVLogger(tmp_path / str(every))
        settings = {"log_every_n_steps": every, "logger": logger, "max_steps": 4}
        fit(Groups(64, "scalar"), None, tmp_path, [GradientNorms(flush_every=1)], **settings)
        file = Path(logger.log_dir) / "metrics.csv"
        assert (len(pd.read_csv(file)) if file.exists() else 0) == lines


def test_clipping_by_value_is_measured_on_what_it_leaves(tmp_path):
    got = measured(
        partial(torch.optim.SGD, lr=0.5),
        tmp_path,
        gradient_clip_val=0.01,
        gradient_clip_algorithm="value",
    )
    # Under plain SGD the change is the learning rate times the clipped gradient.
    np.testing.assert_allclose(got["update_norm"], 0.5 * got["grad_norm_post_clip"], rtol=1e-4)
    assert (got["grad_norm_post_clip"] < got["grad_norm_pre_clip"]).all()
    assert got["clipped"].all()


def test_decay_that_runs_through_momentum_is_not_separated(tmp_path):
    momentum = partial(torch.optim.SGD, lr=0.5, momentum=0.9, weight_decay=0.1)
    assert measured(momentum, tmp_path)["decay_norm"].isna().all()


def test_sixteen_bit_gradients_are_measured_without_their_scale(tmp_path):
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    norms = GradientNorms(flush_every=5)
    fit(
        module(OPTIMIZERS["sgd"]),
        text(),
        tmp_path,
        [norms],
        plugins=[plugin],
        gradient_clip_val=1.0,
    )
    got, want = read_parts(tmp_path / "steps"), by_hand(OPTIMIZERS["sgd"], 1.0)
    np.testing.assert_allclose(got["grad_norm_pre_clip"], want["grad_norm_pre_clip"], rtol=0.05)
    assert (got["grad_norm_post_clip"] <= 1 + 1e-5).all()
    assert not got["skipped"].any()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # before any step
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_that_the_scaler_skipped_count_as_skipped_and_not_as_clipped(tmp_path, name):
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**40))
    norms = GradientNorms(flush_every=5)
    fit(
        module(OPTIMIZERS[name]),
        text(),
        tmp_path,
        [norms],
        plugins=[plugin],
        gradient_clip_val=1.0,
    )
    got = read_parts(tmp_path / "steps")
    assert got["skipped"].iloc[0]
    skipped = got[got["skipped"]]
    assert not skipped["clipped"].any()
    assert (skipped[["update_norm", "decay_norm"]] == 0).all(axis=None)
    assert norms.columns()["skipped_steps"] == len(skipped)


def test_a_fused_optimizer_that_unscales_gradients_is_measured_without_the_scale(tmp_path):
    fused = partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1, fused=True)
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    fit(module(fused), text(), tmp_path, [GradientNorms(flush_every=5)], plugins=[plugin])
    got, want = read_parts(tmp_path / "steps"), by_hand(fused, math.inf)
    np.testing.assert_allclose(got["grad_norm_pre_clip"], want["grad_norm_pre_clip"], rtol=0.05)


def test_an_error_inside_the_step_is_not_masked_and_loses_no_step_before_it(tmp_path):
    class Breaking(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            loss = super().step(closure)
            self.steps += 1
            if self.steps == 8:
                raise RuntimeError("out of memory")
            return loss

    with pytest.raises(RuntimeError, match="out of memory"):
        measured(partial(Breaking, lr=0.1), tmp_path)
    assert read_parts(tmp_path / "steps")["step"].tolist() == list(range(7))


def test_files_that_are_not_its_own_are_left_alone(tmp_path):
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "mine.parquet").write_text("mine")
    measured(OPTIMIZERS["sgd"], tmp_path)
    assert (tmp_path / "steps" / "mine.parquet").read_text() == "mine"


def test_each_epoch_has_its_own_order_when_lightning_trains(tmp_path):
    seen = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            seen.append((trainer.current_epoch, batch[0].clone()))

    data = text()
    fit(module(OPTIMIZERS["sgd"]), data, tmp_path, [Watch()], limit_train_batches=4)
    assert [epoch for epoch, _ in seen] == [0] * 4 + [1] * 4 + [2] * 4
    for epoch in range(3):
        data.batches.set_epoch(epoch)
        want = [x for (x, _), _ in zip(data.batches, range(4), strict=False)]
        got = [x for e, x in seen if e == epoch]
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_the_row_takes_its_means_from_the_table(tmp_path):
    norms = GradientNorms(flush_every=5)
    fit(module(OPTIMIZERS["adamw"]), text(), tmp_path, [norms], gradient_clip_val=1.0)
    table, columns = read_parts(tmp_path / "steps"), norms.columns()
    assert columns["train_loss"] == pytest.approx(table["train_loss"].iloc[-1])  # 5 % of 12 steps
    assert columns["clip_percent"] == pytest.approx(100 * table["clipped"].mean())
    for name in ("grad_norm_pre_clip", "grad_norm_post_clip", "update_norm", "param_norm"):
        assert columns[name] == pytest.approx(table[name].mean(), rel=1e-6)
    coefficient = table["clip_coefficient"]
    cv = coefficient.std(ddof=0) / coefficient.mean()
    assert columns["clip_coefficient_cv"] == pytest.approx(cv, rel=1e-5)
    assert 0 < columns["statistics_percent"] < 100


def test_the_learning_rate_is_the_one_in_use(tmp_path):
    learner = module(OPTIMIZERS["sgd"])
    learner.schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    fit(learner, text(), tmp_path, [GradientNorms(flush_every=5)])
    lr = read_parts(tmp_path / "steps")["lr"]
    np.testing.assert_allclose(lr, 0.5 * 0.5 ** np.arange(STEPS))


OBSERVERS = [GradientNorms(flush_every=3), Evaluations(), Divergence(every=3)]


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("name", ["sgd_decay", "adamw"])
def test_a_run_ends_at_the_same_weights_with_and_without_a_callback(tmp_path, observer, name):
    runs = []
    for callbacks in ([observer], []):
        learner = module(OPTIMIZERS[name], dropout=0.3)
        fit(learner, text(), tmp_path, callbacks, gradient_clip_val=1.0)
        runs.append(list(learner.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


class Foreign(L.LightningModule):
    """A foreign module: two layers, one of them frozen, and none of our config."""

    def __init__(self):
        super().__init__()
        self.frozen, self.linear = nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return {"loss": self.linear(self.frozen(batch[0])).square().mean(), "extra": 1}

    def configure_optimizers(self):
        return torch.optim.RMSprop(self.parameters(), lr=0.01)

    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.randn(32, 4))
        return torch.utils.data.DataLoader(data, batch_size=4)


def test_it_works_in_a_project_without_this_config(tmp_path):
    logger = L.pytorch.loggers.CSVLogger(tmp_path)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, callbacks=[GradientNorms(flush_every=50)], logger=logger,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=4,
    )  # fmt: skip
    trainer.fit(Foreign())
    table = read_parts(tmp_path / "lightning_logs" / "version_0" / "steps")
    assert len(table) == 16
    assert (table["grad_norm_pre_clip"] > 0).all()
    logged = pd.read_csv(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert logged["grad_norm_pre_clip"].tolist() == pytest.approx(
        table["grad_norm_pre_clip"][::4].tolist()
    )


def test_a_module_that_clips_in_its_own_way_is_refused(tmp_path):
    class Own(Foreign):
        def configure_gradient_clipping(self, optimizer, *settings):
            self.clip_gradients(optimizer, 0.1, "norm")

    with pytest.raises(ValueError, match="cannot know what Own.configure_gradient_clipping does"):
        fit(Own(), None, tmp_path, [GradientNorms(flush_every=5)])


def test_several_optimizers_are_refused(tmp_path):
    class Two(Foreign):
        automatic_optimization = False

        def configure_optimizers(self):
            return [torch.optim.SGD([p], lr=0.1) for p in self.linear.parameters()]

    with pytest.raises(ValueError, match="needs one optimizer and automatic optimization, but Two"):
        fit(Two(), None, tmp_path, [GradientNorms(flush_every=5)])


def test_a_flush_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="flush_every=0 must be at least 1"):
        GradientNorms(flush_every=0)


def test_divergence_stops_the_run_soon_and_names_the_first_step(tmp_path):
    divergence = Divergence(every=4)
    learner = module(partial(torch.optim.SGD, lr=1e30))
    trainer = fit(learner, text(), tmp_path, [divergence], max_steps=100)
    first = divergence.columns()["diverged_step"]
    assert 1 <= first < trainer.global_step <= first + 5
    assert trainer.global_step % 4 == 0


def test_the_first_bad_step_is_named_also_with_accumulation(tmp_path):
    class Bad(Foreign):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx)["loss"] * (
                math.nan if batch_idx == 4 else 1
            )

    divergence = Divergence(every=1)
    fit(Bad(), None, tmp_path, [divergence], accumulate_grad_batches=2)
    assert divergence.columns() == {"diverged_step": 2}


def test_a_run_that_converges_has_no_first_bad_step(tmp_path):
    divergence = Divergence(every=4)
    fit(module(OPTIMIZERS["sgd"]), text(), tmp_path, [divergence])
    assert divergence.columns() == {}


def test_every_validation_is_a_line_and_none_is_doubled(tmp_path):
    learner, data = module(OPTIMIZERS["sgd"]), text()
    trainer = fit(learner, data, tmp_path, [Evaluations()], max_steps=6, limit_train_batches=3)
    trainer.validate(learner, data, verbose=False)
    table = read_parts(tmp_path / "epochs")
    assert table["step"].tolist() == [3, 6]
    assert table["epoch"].tolist() == [0, 1]
    assert table["val_loss"].iloc[-1] == pytest.approx(trainer.callback_metrics["val_loss"].item())


class Reporting(Foreign):
    """Reports more columns of each step, and every third step as skipped."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)["loss"]
        skipped = torch.tensor(float(batch_idx % 3 == 2))
        self.reported = {"twice": 2 * loss.detach(), "skipped": skipped}
        return loss


@pytest.mark.parametrize("flush_every", [1, 3, 50])
def test_values_that_a_module_reports_for_a_step_become_columns(tmp_path, flush_every):
    norms = GradientNorms(flush_every=flush_every)
    fit(Reporting(), None, tmp_path, [norms], max_steps=8)
    table = read_parts(tmp_path / "steps")
    assert table["twice"].tolist() == pytest.approx((2 * table["train_loss"]).tolist())
    assert np.flatnonzero(table["skipped"]).tolist() == [2, 5]
    assert (table["update_norm"][table["skipped"]] == 0).all()
    assert norms.columns()["skipped_steps"] == 2


def test_every_step_knows_its_epoch(tmp_path):
    fit(Foreign(), None, tmp_path, [GradientNorms(flush_every=3)], max_steps=12)
    assert read_parts(tmp_path / "steps")["epoch"].tolist() == [0] * 8 + [1] * 4


class Clips(Groups):
    """A module that clips before its step, by a hook of its own."""

    def on_before_optimizer_step(self, optimizer):
        if self.trainer.global_step % 2:  # only at odd steps, which must not hide it
            nn.utils.clip_grad_norm_(self.parameters(), 0.5)


class Logs(Groups):
    """A module whose hook reads the gradient and does not change it."""

    def on_before_optimizer_step(self, optimizer):
        self.looked = sum(p.grad.square().sum() for p in self.parameters())


class ClipsLater(L.Callback):
    def on_before_optimizer_step(self, trainer, module, optimizer):
        nn.utils.clip_grad_norm_(module.parameters(), 0.5)


@pytest.mark.parametrize(
    ("kind", "later", "named"),
    [
        (Clips, [], "Clips.on_before_optimizer_step"),
        (Groups, [ClipsLater()], "ClipsLater.on_before_optimizer_step"),
    ],
)
def test_a_gradient_that_others_change_before_the_step_gives_a_warning(
    tmp_path, kind, later, named
):
    norms = GradientNorms(flush_every=2)
    with pytest.warns(UserWarning, match=f"has norm 0.5, but .* before {named} changed it") as said:
        fit(kind(64, "scalar"), None, tmp_path, [norms, *later])
    assert len([one for one in said if "changed it" in str(one.message)]) == 1


@pytest.mark.parametrize("settings", [{}, {"gradient_clip_val": 0.1}])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_hook_that_only_reads_gives_no_warning(tmp_path, settings, algorithm):
    settings |= {"gradient_clip_algorithm": algorithm} if settings else {}
    fit(Logs(64, "scalar"), None, tmp_path, [GradientNorms(flush_every=2)], **settings)
    first = [ClipsLater(), GradientNorms(flush_every=2)]  # what is measured is what is left
    fit(Groups(64, "scalar"), None, tmp_path / "later", first)
    assert read_parts(tmp_path / "later" / "steps")["grad_norm_pre_clip"].max() < 0.51


def test_doubles_are_measured_too(tmp_path):
    tables = []
    for precision in ("32-true", "64-true"):
        place = tmp_path / precision
        fit(Groups(64, "scalar"), None, place, [GradientNorms(flush_every=5)], precision=precision)
        tables.append(read_parts(place / "steps"))
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


def test_a_fit_after_a_resumed_one_begins_its_own_table(tmp_path):
    norms, place = GradientNorms(flush_every=5), tmp_path / "here"
    trainer = fit(Groups(64, "scalar"), None, place, [norms], max_steps=8)
    trainer.save_checkpoint(tmp_path / "at.ckpt")
    again = L.Trainer(
        accelerator="cpu", callbacks=[norms], default_root_dir=place, max_steps=10, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    again.fit(Groups(64, "scalar"), ckpt_path=tmp_path / "at.ckpt")
    assert read_parts(place / "steps")["step"].tolist() == list(range(10))
    fit(Groups(64, "scalar"), None, place, [norms], max_steps=3)
    assert read_parts(place / "steps")["step"].tolist() == [0, 1, 2]


def test_a_fit_that_is_resumed_in_a_new_folder_says_where_its_table_begins(tmp_path):
    trainer = fit(Groups(64, "scalar"), None, tmp_path, [GradientNorms(flush_every=5)], max_steps=8)
    trainer.save_checkpoint(tmp_path / "at.ckpt")
    norms = GradientNorms(flush_every=5)
    again = L.Trainer(
        accelerator="cpu", callbacks=[norms], default_root_dir=tmp_path / "new", max_steps=10,
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="has none of the 8 rows before this fit"):
        again.fit(Groups(64, "scalar"), ckpt_path=tmp_path / "at.ckpt")
    assert read_parts(tmp_path / "new" / "steps")["step"].tolist() == [8, 9]
