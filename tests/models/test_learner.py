"""What a step is: its loss, its randomness, its weight decay, and its validation."""

from functools import partial

import lightning as L
import pytest
import torch
from torch import nn

from scaling.models.learner import Learner


class Line(nn.Module):
    """Squared error of a linear map, with dropout before it."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(4, 1)

    def losses(self, batch):
        x, y = batch
        return (self.linear(self.dropout(x)).squeeze(1) - y).square()


def learner(**changes) -> Learner:
    torch.manual_seed(0)
    settings = {
        "optimizer": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.3),
        "schedule": partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        "seed": 0,
    }
    return Learner(Line(changes.pop("dropout", 0.0)), **settings | changes)


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    draws = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 4, generator=draws), torch.randn(8, generator=draws)) for _ in range(6)]


class Loader(list):
    """A list that Lightning takes for one loader, not for several."""


def fit(module: Learner, **settings) -> L.Trainer:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = L.Trainer(
        accelerator="cpu", **dict.fromkeys(quiet, False), **{"max_steps": 6} | settings
    )
    trainer.fit(module, Loader(data()))
    return trainer


def test_the_training_loss_is_the_mean_over_examples():
    module, batch = learner(), data()[0]
    assert module.training_step(batch, 0) == module.losses(batch).mean()


def test_only_matrices_decay():
    groups = learner().configure_optimizers()["optimizer"].param_groups
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in groups] == [
        (0.3, [2]),
        (0.0, [1]),
    ]


def test_runs_that_differ_in_learning_rate_draw_the_same_dropout():
    masks = {}
    for lr in (0.0, 0.1):
        module = learner(optimizer=partial(torch.optim.SGD, lr=lr), dropout=0.5)
        seen = masks.setdefault(lr, [])
        module.net.dropout.register_forward_hook(lambda m, x, out, seen=seen: seen.append(out == 0))
        torch.manual_seed(int(lr * 10))  # whatever was drawn before
        fit(module)
    assert all(torch.equal(a, b) for a, b in zip(masks[0.0], masks[0.1], strict=True))
    assert not torch.equal(masks[0.0][0], masks[0.0][1])


def test_validation_gives_the_mean_and_its_standard_error():
    module = learner()
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(module, Loader(data()), verbose=False)
    losses = torch.cat([module.losses(batch) for batch in data()]).detach()
    assert trainer.callback_metrics["val_loss"] == pytest.approx(losses.mean().item())
    error = losses.std().item() / len(losses) ** 0.5
    assert trainer.callback_metrics["val_loss_se"] == pytest.approx(error)


class Guess(nn.Module):
    """Logits that are the inputs themselves."""

    def losses(self, batch):
        return self.losses_and_logits(batch)[0]

    def losses_and_logits(self, batch):
        x, labels, *_ = batch
        return nn.functional.cross_entropy(x, labels, reduction="none"), x


def test_a_net_that_classifies_is_scored_on_every_split_under_its_name():
    module = learner()
    module.net = Guess()
    seen, wrong = torch.eye(3)[torch.tensor([0, 1, 2, 0])], torch.tensor([0, 1, 2, 1])
    loaders = {
        "val": Loader([(seen, torch.tensor([0, 1, 2, 0]))]),
        "test": Loader([(seen[:2], wrong[:2]), (seen[2:], wrong[2:])]),
        "train": Loader([(seen, wrong, torch.tensor([0, 1, 2, 0]))]),
    }
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(module, loaders, verbose=False)
    scores = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert {name: score for name, score in scores.items() if "accuracy" in name} == {
        "val_accuracy": 1.0,
        "test_accuracy": 0.75,
        "train_accuracy": 0.75,
        "train_accuracy_clean": 1.0,
        "train_accuracy_corrupted": 0.0,
        "train_accuracy_true": 1.0,
    }
    assert {name for name in scores if "loss" in name} == {
        *("val_loss", "val_loss_se", "test_loss", "test_loss_se"),
    }


def test_a_net_that_does_not_classify_has_losses_and_nothing_else():
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(learner(), Loader(data()), verbose=False)
    assert trainer.callback_metrics.keys() == {"val_loss", "val_loss_se"}
