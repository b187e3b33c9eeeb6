"""When an adaptation stops or would have stopped, and by which rule."""

import lightning as L
import pytest
import torch

from scaling.callbacks.early_stop import EarlyStop

SETTINGS = {
    "loss": "pass_loss", "patience": 3, "guard": "query_diversity", "least": 0.8, "after": 5,
    "observe_only": False,
}  # fmt: skip


class Planned(L.LightningModule):
    """Logs given values for each epoch."""

    def __init__(self, losses, guards):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.losses, self.guards = losses, guards

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        epoch = min(self.current_epoch, len(self.losses) - 1)
        self.log_dict({"pass_loss": self.losses[epoch], "query_diversity": self.guards[epoch]})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(2, 1))

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(1, 1))


def trained(losses, guards, stop, folder, limit=-1, **settings) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=len(losses), max_steps=limit, logger=False, callbacks=[stop],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Planned(losses, guards), **settings)
    return trainer


def test_the_last_pass_that_is_planned_stops_nothing(tmp_path):
    for epochs, stopped in ((4, None), (5, 4)):
        stop = EarlyStop(**SETTINGS | {"observe_only": True})
        trained([1.0] * 12, [0.95] * 12, stop, tmp_path, limit=2 * epochs)
        assert stop.columns().get("stopped_pass") == stopped


FALLING = [1.0 - 0.05 * number for number in range(12)]
FINE = [0.95] * 12


@pytest.mark.parametrize(
    ("losses", "guards", "passes", "by"),
    [
        (FALLING, FINE, None, None),
        (FALLING, [0.5] * 12, 6, "collapse"),  # not before more than 5 are over
        (FALLING, [0.95] * 8 + [0.79] + [0.95] * 3, 9, "collapse"),
        ([1.0] * 12, FINE, 4, "patience"),  # 3 after the first, which is a minimum
        ([1.0, 0.9, 0.95, 0.9, 0.8, 0.8, 0.9, 1.0, 0.1, 0.0, 0.0, 0.0], FINE, 8, "patience"),
    ],
)
@pytest.mark.parametrize("observe_only", [False, True])
def test_it_stops_when_its_rules_say_so(tmp_path, losses, guards, passes, by, observe_only):
    stop = EarlyStop(**SETTINGS | {"observe_only": observe_only})
    trainer = trained(losses, guards, stop, tmp_path)
    assert trainer.current_epoch == (passes if passes and not observe_only else 12)
    columns = stop.columns()
    assert columns.get("stopped_pass") == passes
    for rule in ("collapse", "patience"):
        assert columns[f"stopped_by_{rule}"] == float(rule == by)


def test_a_resumed_run_continues_its_counts(tmp_path):
    alone = EarlyStop(**SETTINGS)
    trained([1.0] * 12, FINE, alone, tmp_path)
    first = EarlyStop(**SETTINGS)
    trained([1.0] * 2, FINE, first, tmp_path)
    second = EarlyStop(**SETTINGS)
    second.load_state_dict(first.state_dict())
    trainer = trained([1.0] * 12, FINE, second, tmp_path)
    assert trainer.current_epoch == 2
    assert second.columns() == alone.columns()


def test_a_validation_outside_of_training_does_not_count(tmp_path):
    stop = EarlyStop(**SETTINGS)
    trainer = trained([1.0] * 2, FINE, stop, tmp_path)
    before = stop.state_dict()
    trainer.validate(trainer.lightning_module, verbose=False)
    assert stop.state_dict() == before


def test_a_metric_that_is_not_logged_is_named(tmp_path):
    stop = EarlyStop(**SETTINGS | {"guard": "query_variety"})
    with pytest.raises(
        ValueError, match=r"no metric query_variety to stop by; there are pass_loss"
    ):
        trained(FALLING, FINE, stop, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guard": "query_accuracy"}, "guard=query_accuracy uses labels"),
        ({"loss": "val_loss"}, "loss=val_loss uses labels"),
        ({"loss": "query_loss_se"}, "loss=query_loss_se uses labels"),
        ({"guard": "query_won"}, "guard=query_won uses labels"),
        ({"guard": "source_lost"}, "guard=source_lost uses labels"),
        ({"patience": 0}, "patience=0 must be at least 1 epoch"),
        ({"after": -1}, "after=-1 must be a number of epochs"),
        ({"least": float("nan")}, "least=nan must be finite"),
    ],
)
def test_an_invalid_rule_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        EarlyStop(**SETTINGS | changes)
