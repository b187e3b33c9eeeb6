"""Scores of an adaptation against a forward pass of its nets, and where they come from."""

import copy

import lightning as L
import numpy as np
import pytest
import torch
from adapting import MAXIMISATION, adapter, data, fit, net, summary
from torch import nn

from scaling.adaptation.evaluation import Evaluation
from scaling.callbacks.evaluation_table import Evaluations
from scaling.callbacks.gradient_norms import GradientNorms
from scaling.contracts.labeled import Labeled
from scaling.contracts.protocols import Scorer
from scaling.contracts.scores import window_scores
from scaling.storage.tables import read_parts


class Fake:
    """A scorer that records its calls."""

    def __init__(self):
        self.asked = []

    def scores(self, split, logits):
        self.asked.append(("scores", split, len(logits)))
        return {"accuracy": 0.5}

    def changes(self, split, before, now):
        self.asked.append(("changes", split, len(now)))
        return {"won": 2.0, "lost": 1.0}

    def right(self, split, classes):
        raise AssertionError("which windows are right is for records, not for evaluation")


def test_it_uses_the_scorer_it_was_given_and_needs_no_datamodule(tmp_path):
    windows, fake = data(), Fake()
    module = adapter(windows=windows)
    assert isinstance(fake, Scorer)
    assert isinstance(windows, Scorer)
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[Evaluation(module, fake)],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    loaders = windows.val_dataloader()
    trainer.validate(module, dataloaders=loaders, verbose=False)
    trainer.fit(module, train_dataloaders=windows.batches, val_dataloaders=loaders)
    sizes = {"val": 40, "query": 60, "source": 30}
    assert fake.asked == [
        (question, split, size)
        for _ in range(2)  # before the pass and after it
        for question in ("scores", "changes")
        for split, size in sizes.items()
    ]
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["passes"] == 1
    for split in sizes:
        assert metrics[f"{split}_accuracy"] == 0.5
        assert (metrics[f"{split}_won"], metrics[f"{split}_lost"]) == (2, 1)
    assert summary(trainer)["before_query_accuracy"] == 0.5


def test_a_checkpoint_has_the_results_of_the_passes_so_far(tmp_path):
    windows, module = data(), adapter()
    trainer = fit(module, windows, tmp_path, before=True, max_epochs=-1, max_steps=6)
    (first,) = [part for part in trainer.callbacks if isinstance(part, Evaluation)]
    first.updates = [torch.tensor([0.1, 0.2, 0.3])]
    second = Evaluation(module, windows)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.columns() == first.columns() != {}
    assert second.before == first.before != {}
    assert torch.equal(second.updates[0], first.updates[0])


def test_labels_change_scores_and_nothing_else(tmp_path):
    ended, scores = [], []
    for permuted in (False, True):
        windows = data()
        draw = windows.populations.draw

        def shuffled(path, fold, draw=draw, permuted=permuted):
            population = draw(path, fold)
            if permuted:
                for name in ("query", "heldout"):
                    part = getattr(population, name)
                    other = Labeled(part.windows, part.labels.flip(0))
                    population = copy.copy(population)
                    object.__setattr__(population, name, other)
            return population

        windows.populations = copy.copy(windows.populations)
        object.__setattr__(windows.populations, "draw", shuffled)
        module = adapter(objective=MAXIMISATION, windows=windows)
        trainer = fit(module, windows, tmp_path, before=True)
        ended.append(module.net.state_dict())
        scores.append({k: float(v) for k, v in trainer.callback_metrics.items()})
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])
    assert scores[0]["query_accuracy"] != scores[1]["query_accuracy"]
    assert scores[0]["query_entropy"] == scores[1]["query_entropy"]


def test_the_state_before_and_after_each_pass_is_in_one_table(tmp_path):
    windows, module = data(), adapter()
    trainer = fit(module, windows, tmp_path, [Evaluations()], before=True)
    table = read_parts(tmp_path / "epochs")
    assert table["epoch"].tolist() == [-1, 0, 1]
    assert table["step"].tolist() == [0, 4, 8]
    assert table["passes"].tolist() == [0, 1, 2]
    population, columns = windows._population, summary(trainer)
    parts = {"query": population.query, "val": population.heldout, "source": population.source}
    for split, part in parts.items():
        for row, model in ((0, net()), (-1, module.net)):
            with torch.no_grad():
                want = window_scores(model.eval().logits(part.windows), part.labels)
            for name, value in want.items():
                got = table[f"{split}_{name}"].iloc[row]
                assert got == pytest.approx(value, rel=1e-5, abs=1e-6)
                if row == 0:
                    assert columns[f"before_{split}_{name}"] == pytest.approx(value, rel=1e-5)
        won = table[f"{split}_won"] - table[f"{split}_lost"]
        gained = table[f"{split}_accuracy"] - table[f"{split}_accuracy"].iloc[0]
        np.testing.assert_allclose(won, gained * len(part.labels), atol=1e-4)
    assert table[["query_won", "query_lost"]].iloc[0].tolist() == [0, 0]
    assert table[["query_won", "query_lost"]].iloc[-1].min() > 0
    best = table["query_accuracy"].max()
    assert columns["oracle_query_accuracy"] == pytest.approx(best)
    first = table.loc[table["query_accuracy"].idxmax()]
    assert columns["oracle_passes"] == first["passes"]
    assert columns["oracle_val_accuracy"] == pytest.approx(first["val_accuracy"])


def test_a_pass_has_the_mean_and_the_spread_of_its_updates(tmp_path):
    fit(adapter(), data(), tmp_path, [Evaluations(), GradientNorms(flush_every=50)])
    table, steps = (read_parts(tmp_path / name) for name in ("epochs", "steps"))
    for name, column in {
        "loss": "train_loss",
        "entropy": "entropy",
        "diversity": "diversity",
    }.items():
        by_pass = steps.groupby("epoch")[column]
        np.testing.assert_allclose(table[f"pass_{name}"], by_pass.mean(), rtol=1e-5)
        np.testing.assert_allclose(table[f"pass_{name}_sd"], by_pass.std(), rtol=1e-4)


def test_a_collapse_starts_again_from_the_source_and_is_recorded(tmp_path):
    table = {}
    for limit in (None, 0.01):  # every query has a class with a larger share than that
        module = adapter(reset_above=limit)
        place = tmp_path / str(limit)
        callbacks = [Evaluations(), GradientNorms(flush_every=50)]
        trainer = fit(module, data(), place, callbacks)
        table[limit] = read_parts(place / "steps")["param_norm"]
        assert module.columns()["resets"] == (2 if limit else 0)
        assert read_parts(place / "epochs")["resets"].tolist() == ([0, 1] if limit else [0, 0])
    assert table[0.01][4] == table[0.01][0]  # weights before the first update of both passes
    assert table[None][4] != table[None][0]
    assert summary(trainer)["reset_passes"] == 2


def test_statistics_alone_are_scored_if_there_are_any(tmp_path):
    windows = data()
    module = adapter(normalisation="batch", statistics="source")
    columns = summary(fit(module, windows, tmp_path, before=True))
    model = net("batch", dropout=0.0).train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.momentum = 1.0
    with torch.no_grad():
        model.logits(windows.query)
        heldout = windows._population.heldout
        want = window_scores(model.eval().logits(heldout.windows), heldout.labels)
    assert columns["statistics_val_loss"] == pytest.approx(want["loss"], rel=1e-5)
    assert columns["statistics_val_loss"] != columns["before_val_loss"]
    plain = summary(fit(adapter(), data(), tmp_path, before=True))
    assert not [name for name in plain if name.startswith("statistics_")]
