"""What one client of a federation does in one round, in plain torch."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from scaling.contracts.labeled import Labeled
from scaling.federation.flower.settings import Federation
from scaling.seeds import generator_for, seed_for

SCORED_BATCH = 1_000  # windows at a time in evaluations; of no influence on any number


def averaged(net: nn.Module) -> dict[str, Tensor]:
    """The entries of a state dict that clients send: weights, and statistics of normalisations.

    Whole numbers, such as BatchNorm's count of batches, stay where they count.
    """
    return {name: t for name, t in net.state_dict().items() if t.is_floating_point()}


def statistics(net: nn.Module) -> list[str]:
    """The names among `averaged` that no gradient trains."""
    trained = dict(net.named_parameters(remove_duplicate=False))
    return [name for name in averaged(net) if name not in trained]


def arrays_of(net: nn.Module) -> dict[str, np.ndarray]:
    """What clients send, as copies."""
    return {name: t.detach().cpu().numpy().copy() for name, t in averaged(net).items()}


def replaced(net: nn.Module, arrays: dict[str, np.ndarray]) -> nn.Module:
    """A copy of a network with what a client sent."""
    own = copy.deepcopy(net)
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    own.load_state_dict(own.state_dict() | tensors)
    return own


@dataclass(frozen=True, eq=False)
class Work:
    """What a client does in a round: takes over the weights, trains on its windows, answers."""

    net: nn.Module
    clients: tuple[Labeled, ...]
    federation: Federation
    seed: int

    def __call__(
        self, arrays: dict[str, np.ndarray], server_round: int, client: int, proximal_mu: float
    ) -> tuple[dict[str, np.ndarray], int, float]:
        own = replaced(self.net, arrays)
        loss = train_locally(
            own,
            *self.clients[client],
            epochs=self.federation.local_epochs,
            batch=self.federation.batch,
            lr=self.federation.lr,
            momentum=self.federation.momentum,
            proximal_mu=proximal_mu,
            draws=(self.seed, server_round, client),
        )
        return arrays_of(own), len(self.clients[client][1]), loss


def train_locally(
    net: nn.Module,
    windows: Float[Tensor, "n length features"],
    labels: Integer[Tensor, " n"],
    *,
    epochs: int,
    batch: int,
    lr: float,
    momentum: float,
    proximal_mu: float,
    draws: tuple[int, int, int],
) -> float:
    """Train `net` on a client's windows; gives the mean loss of a window meanwhile, in nats.

    The optimizer is SGD, anew in each round. Each epoch has an order of its own, and its last
    batch is smaller where the windows do not divide. What is minimised is the mean loss of a batch
    plus mu/2 |w - w_0|^2, with w_0 the weights that the round began with (Li et al.,
    arXiv:1812.06127, eq. 2); the term is not part of the loss that is given back.

    Args:
        net: offers `losses(batch)`; changed in place.
        windows: of the client.
        labels: their classes.
        epochs: passes over the windows.
        batch: windows per step.
        lr: learning rate.
        momentum: of SGD; 0 for none.
        proximal_mu: 0 for no pull towards w_0.
        draws: seed of the run, round and client, which order and dropout follow from.

    Raises:
        FloatingPointError: if the loss or a weight is no longer finite.
    """
    start = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    net.train()
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        for epoch in range(epochs):
            torch.manual_seed(seed_for("federation", *draws, epoch, 0))  # dropout
            shuffled = generator_for("federation", *draws, epoch, 1)
            order = torch.randperm(len(windows), generator=shuffled)
            for rows in order.split(batch):
                losses = net.losses((windows[rows], labels[rows]))  # type: ignore[operator]
                loss = losses.mean()
                if proximal_mu:
                    pairs = zip(net.parameters(), start, strict=True)
                    loss = loss + proximal_mu / 2 * sum((w - w0).square().sum() for w, w0 in pairs)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += losses.sum().item()
    if not math.isfinite(total):
        raise FloatingPointError("its loss is not finite; lower federation.lr")
    if not all(t.isfinite().all() for t in averaged(net).values()):
        raise FloatingPointError("its weights are not finite; lower federation.lr")
    return total / (epochs * len(windows))


@torch.no_grad()
def scores(net: nn.Module, windows: Tensor, labels: Tensor) -> Mapping[str, float]:
    """Mean loss, in nats, and accuracy of a network on windows."""
    net.eval()
    parts = zip(windows.split(SCORED_BATCH), labels.split(SCORED_BATCH), strict=True)
    outcomes = [net.losses_and_logits(part) for part in parts]  # type: ignore[operator]
    losses, logits = (torch.cat(part) for part in zip(*outcomes, strict=True))
    accuracy = (logits.argmax(dim=1) == labels).float().mean()
    return {"loss": losses.mean().item(), "accuracy": accuracy.item()}
