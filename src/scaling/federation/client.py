"""One client of a federation in one round, in plain torch."""

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

SCORED_BATCH = 1_000  # windows at a time in evaluations; no number depends on it


def averaged(net: nn.Module) -> dict[str, Tensor]:
    """The entries of a state dict that clients send: weights, and statistics of normalisations.

    Integers, such as BatchNorm's count of batches, are not sent.
    """
    return {name: t for name, t in net.state_dict().items() if t.is_floating_point()}


def statistics(net: nn.Module) -> list[str]:
    """The names in `averaged` that are not parameters."""
    trained = dict(net.named_parameters(remove_duplicate=False))
    return [name for name in averaged(net) if name not in trained]


def arrays_of(net: nn.Module) -> dict[str, np.ndarray]:
    """Copies of the arrays that clients send."""
    return {name: t.detach().cpu().numpy().copy() for name, t in averaged(net).items()}


def replaced(net: nn.Module, arrays: dict[str, np.ndarray]) -> nn.Module:
    """A copy of a network with the arrays that a client sent."""
    net = copy.deepcopy(net)
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    net.load_state_dict(net.state_dict() | tensors)
    return net


@dataclass(frozen=True, eq=False)
class Work:
    """The work of a client in a round: load the weights, train on its windows, send the result."""

    net: nn.Module
    clients: tuple[Labeled, ...]
    federation: Federation
    seed: int

    def __call__(
        self, arrays: dict[str, np.ndarray], server_round: int, client: int, proximal_mu: float
    ) -> tuple[dict[str, np.ndarray], int, float]:
        net = replaced(self.net, arrays)
        loss = train_locally(
            net,
            *self.clients[client],
            epochs=self.federation.local_epochs,
            batch=self.federation.batch,
            lr=self.federation.lr,
            momentum=self.federation.momentum,
            proximal_mu=proximal_mu,
            draws=(self.seed, server_round, client),
        )
        return arrays_of(net), len(self.clients[client][1]), loss


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
    """Train `net` on a client's windows and return their mean loss during training, in nats.

    The optimizer is SGD without state from earlier rounds. Each epoch draws its own order; its last
    batch may be smaller. The objective is the mean loss of a batch plus mu/2 |w - w_0|^2, with w_0
    the weights at the start of the round (Li et al., arXiv:1812.06127, eq. 2). The returned loss
    does not include that term.

    Args:
        net: offers `losses(batch)`; changed in place.
        windows: windows of the client.
        labels: their classes.
        epochs: passes over the windows.
        batch: windows per step.
        lr: learning rate.
        momentum: momentum of SGD; 0 for none.
        proximal_mu: weight mu of the proximal term; 0 for none.
        draws: seed of the run, round and client, which determine order and dropout.

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
    """Mean loss in nats and accuracy of a network on windows."""
    net.eval()
    parts = zip(windows.split(SCORED_BATCH), labels.split(SCORED_BATCH), strict=True)
    outcomes = [net.losses_and_logits(part) for part in parts]  # type: ignore[operator]
    losses, logits = (torch.cat(part) for part in zip(*outcomes, strict=True))
    accuracy = (logits.argmax(dim=1) == labels).float().mean()
    return {"loss": losses.mean().item(), "accuracy": accuracy.item()}
