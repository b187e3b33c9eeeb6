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
