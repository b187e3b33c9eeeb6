"""Small federations."""

import torch
from torch import nn

from scaling.contracts.labeled import Labeled
from scaling.federation.flower.settings import Federation
from scaling.models.tcn import TCN

PLAIN = {
    "rounds": 3,
    "local_epochs": 2,
    "batch": 16,
    "lr": 0.05,
    "momentum": 0.5,
    "strategy": "fedavg",
    "proximal_mu": None,
    "server_lr": None,
    "beta_1": None,
    "beta_2": None,
    "tau": None,
    "backend": "in_process",
}
ADAM = {"strategy": "fedadam", "server_lr": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001}
SIZES = (5, 40, 17)


def settings(**changes) -> Federation:
    return Federation(**PLAIN | changes)


def windows(n: int, seed: int = 0) -> Labeled:
    """Windows of 6 steps and 4 features; the class of 3 is in their level."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    levels = torch.eye(3, 4)[labels][:, None]
    return Labeled(2 * levels + torch.randn(n, 6, 4, generator=generator), labels)


def clients() -> list[Labeled]:
    return [windows(n, seed=i + 1) for i, n in enumerate(SIZES)]


class Softmax(nn.Module):
    """Logistic regression on a window's mean."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def losses_and_logits(self, batch):
        logits = self.head(batch[0].mean(dim=1))
        return nn.functional.cross_entropy(logits, batch[1], reduction="none"), logits

    def losses(self, batch):
        return self.losses_and_logits(batch)[0]


def tcn(normalisation: str = "group", dropout: float = 0.0) -> TCN:
    return TCN(
        inputs=4, outputs=3, length=6, width=8, layers=1, normalisation=normalisation, groups=2,
        dropout=dropout,
    )  # fmt: skip
