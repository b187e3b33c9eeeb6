"""Windows to train a source on, with labels, and to adapt on, without."""

import ast
import copy
import inspect
import math

import lightning as L
import pytest
import torch
from flows import flows

from scaling.adaptation import evaluation
from scaling.adaptation import module as adapter
from scaling.callbacks.checkpoint import Resumable
from scaling.contracts.scores import window_scores
from scaling.contracts.sizes import Sizes
from scaling.datamodules.windows import Windows


def windows(**changes) -> Windows:
    settings = {
        "batch": 64, "microbatches": 1, "seed": 0, "path": None, "train_on": "query", "fold": 0,
        "growth": None, "growth_passes": 50, "population": flows(),
    }  # fmt: skip
    made = Windows(**settings | changes)
    made.sizes_ = made.prepare()
    return made


ENDS = {None: (47,), 64: (47, 71)}  # steps after the first passes, by growth


class Mean(L.LightningModule):
    """Records its inputs, and has weights that depend on them."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(23, 5)
        self.seen, self.validated = [], []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, *(part.clone() for part in batch)))
        return self.layer(batch[0].mean(1)).square().mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.validated.append((self.current_epoch, dataloader_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, **settings) -> L.Trainer:
    return L.Trainer(
        **{"max_steps": -1, "max_epochs": -1} | settings,
        accelerator="cpu", logger=False, enable_checkpointing="callbacks" in settings,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        default_root_dir=folder,
    )  # fmt: skip


def test_sizes_tell_a_model_what_it_must_fit():
    assert windows().sizes_ == Sizes(inputs=23, outputs=5, length=30)


def test_a_query_gives_its_windows_and_nothing_else():
    made = windows()
    loaders = {"train": made.train_dataloader(), **made.val_dataloader()}
    assert set(loaders) == {"train", "val", "query", "source"}
    for loader in loaders.values():
        for batch in loader:
            assert len(batch) == 1
            assert batch[0].is_floating_point()
            assert batch[0].shape[1:] == (30, 23)


def test_no_public_name_gives_the_labels_of_the_query():
    made = windows()
    labels = made.populations.draw(None, 0).query.labels
    for name in dir(made):
        if not name.startswith("_") and name not in ("trainer", "populations"):
            value = getattr(made, name)
            assert not (isinstance(value, torch.Tensor) and value.shape == labels.shape), name


def test_adaptation_asks_for_scores_and_counts_alone():
    """Single labels can be read by callbacks that record a run, not by the adaptation."""
    trees = [ast.parse(inspect.getsource(module)) for module in (adapter, evaluation)]
    asked = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("self.data", "self.trainer.datamodule")
    }
    assert asked == {"scores", "changes"}


def test_windows_won_and_lost_are_counted():
    made, population = windows(), flows().draw(None, 0)
    labels = population.query.labels
    none, all_of_them = ((labels + 1) % 5).tolist(), labels.tolist()
    half = [b if i % 2 else a for i, (a, b) in enumerate(zip(none, all_of_them, strict=True))]
    right = len(labels) // 2
    assert made.changes("query", none, half) == {"won": right, "lost": 0}
    assert made.changes("query", all_of_them, half) == {"won": 0, "lost": len(labels) - right}


def test_growth_is_in_the_row_if_there_is_any():
    grown = windows(batch=16, growth=64, growth_passes=20).columns()
    assert (grown["growth"], grown["growth_passes"]) == (64, 20)
    assert not {"growth", "growth_passes"} & set(windows().columns())


def test_frequencies_of_the_clients_labels_are_scored_on_the_source():
    made, population = windows(), flows().draw(None, 0)
    counts = torch.bincount(population.pooled.labels, minlength=5) + 1.0
    shares = counts / counts.sum()
    for key, part in (
        ("source_unigram_loss", population.source),
        ("unigram_loss", population.heldout),
    ):
        want = sum(-math.log(shares[label]) for label in part.labels) / len(part.labels)
        assert made.columns()[key] == pytest.approx(want, rel=1e-5)


def test_a_pass_has_every_window_of_the_query_once():
    made = windows()
    seen = torch.cat([batch for (batch,) in made.train_dataloader()])
    assert len(made.batches) == 12
    assert torch.equal(seen.sum((1, 2)).sort().values, made.query.sum((1, 2)).sort().values)


def test_the_order_follows_from_seed_and_pass_and_not_from_the_batch():
    def order(seed: int, number: int, batch: int) -> torch.Tensor:
        made = windows(seed=seed, batch=batch)
        made.batches.set_epoch(number)
        return torch.cat([part for (part,) in made.train_dataloader()])

    assert torch.equal(order(0, 3, 16), order(0, 3, 128))
    assert not torch.equal(order(0, 3, 16), order(0, 4, 16))
    assert not torch.equal(order(0, 3, 16), order(1, 3, 16))


def test_the_source_is_trained_on_all_clients_with_labels():
    made = windows(train_on="source", batch=30)
    batches = list(made.train_dataloader())
    assert len(batches) == 10
    assert torch.cat([labels for _, labels in batches]).shape == (300,)
    splits = made.val_dataloader()
    population = made.populations.draw(None, 0)
    for name, part in (("val", population.source), ("test", population.heldout)):
        found = [torch.cat(parts) for parts in zip(*splits[name], strict=True)]
        assert torch.equal(found[0], part.windows)
        assert torch.equal(found[1], part.labels)


def test_scores_compare_with_the_labels_of_their_split():
    made, population = windows(), flows().draw(None, 0)
    for name, part in (
        ("val", population.heldout), ("query", population.query), ("source", population.source),
    ):  # fmt: skip
        logits = torch.randn(len(part.labels), 5)
        assert made.scores(name, logits) == window_scores(logits, part.labels)


def test_windows_are_correct_if_they_are_given_their_class():
    made, population = windows(), flows().draw(None, 0)
    labels = population.query.labels
    assert made.right("query", labels.tolist()).all()
    given = [(label + (i % 3 == 0)) % 5 for i, label in enumerate(labels.tolist())]
    assert made.right("query", given).tolist() == [i % 3 != 0 for i in range(len(labels))]


def test_measures_that_need_no_model_are_recorded():
    columns = windows(fold=2).columns()
    assert columns["fold"] == 2
    assert columns["query_windows"] == columns["heldout_windows"] == 750
    assert columns["client_windows"] == 300
    assert columns["clients"] == 10
    assert columns["leak_windows"] == columns["leak_records"] == 0
    assert columns["uniform_loss"] == math.log(5)
    assert columns["unigram_loss"] == pytest.approx(math.log(5), abs=0.1)
    assert 0.9 < columns["best_accuracy"] < 1
    assert all(isinstance(value, int | float) for value in columns.values())


def test_batches_that_grow_do_so_in_a_trainer_too(tmp_path):
    module, made = Mean(), windows(batch=16, growth=64, growth_passes=5)
    fitted = trainer(tmp_path, max_epochs=6)
    fitted.fit(module, datamodule=made)
    counts = [sum(epoch == number for epoch, *_ in module.seen) for number in range(6)]
    assert counts == [47, 47, 24, 24, 12, 12]
    assert fitted.global_step == made.batches.updates(6)
    assert module.validated == [(number, split) for number in range(6) for split in range(3)]
    for number in range(6):
        shown = torch.cat([windows for epoch, _, windows in module.seen if epoch == number])
        assert len(shown.unique(dim=0)) == 750


@pytest.fixture(scope="module", params=[None, 64])
def whole_run(request, tmp_path_factory):
    """The growth of a run that is not killed, the weights with which it began, and its module."""
    module, growth = Mean(), request.param
    begin = copy.deepcopy(module.state_dict())
    data = windows(batch=16, growth=growth, growth_passes=3)
    trainer(tmp_path_factory.mktemp("whole"), max_steps=90).fit(module, datamodule=data)
    return growth, begin, module


@pytest.mark.parametrize("stopped", [5, 46, 47, 48, 60, 71, 72, 80])
def test_a_killed_run_continues_within_its_pass(tmp_path, monkeypatch, stopped, whole_run):
    growth, begin, whole = whole_run
    settings = {"batch": 16, "growth": growth, "growth_passes": 3}
    killed, resumed = Mean(), Mean()
    for module in (killed, resumed):
        module.load_state_dict(begin)

    def die(batch, batch_idx):
        if killed.global_step == stopped:
            raise KeyError("killed")

    monkeypatch.setattr(killed, "on_train_batch_start", die)
    path = tmp_path / "checkpoint.ckpt"
    saving, going_on = (
        trainer(tmp_path, max_steps=90, callbacks=[Resumable(path, seconds=0.0, threads=1)])
        for _ in range(2)
    )
    with pytest.raises(KeyError, match="killed"):
        saving.fit(killed, datamodule=windows(**settings))
    going_on.fit(resumed, datamodule=windows(**settings), ckpt_path=path, weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    repeated = len(killed.seen) + len(resumed.seen) - len(whole.seen)
    assert repeated == (stopped in ENDS[growth])  # nothing is saved at the end of a pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_on": "test"}, "train_on=test must be one of source, query"),
        ({"fold": -1}, "fold=-1 must be at least 0"),
        ({"batch": 751}, "batch=751 exceeds the 750 windows of the query"),
        ({"batch": 400, "growth": 800}, "growth=800 exceeds the 750 windows of the query"),
        ({"train_on": "source", "batch": 301}, "batch=301 exceeds the 300 training examples"),
        ({"train_on": "source", "growth": 128}, "growth=128 must be null unless"),
        ({"growth": 100}, "growth=100 must be batch=64 doubled"),
        ({"microbatches": 2}, "microbatches=2 must be 1 on a query"),
        ({"path": "here"}, "path=here must be null"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(changes, said):
    with pytest.raises(ValueError, match=said):
        windows(**changes)
