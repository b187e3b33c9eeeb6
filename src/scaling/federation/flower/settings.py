"""Settings of a federation; does not import Flower."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaling.contracts.limits import check_choice, check_least

STRATEGIES: dict[str, tuple[str, ...]] = {  # name -> settings of this strategy alone
    "fedavg": (),
    "fedprox": ("proximal_mu",),
    "fedadam": ("server_lr", "beta_1", "beta_2", "tau"),
}
BACKENDS = ("in_process", "ray")


@dataclass(frozen=True, kw_only=True)
class Federation:
    """Settings of the training of clients and the averaging of their weights.

    Raises:
        ValueError: for a value out of range, or a setting of another strategy, naming its key.
    """

    rounds: int  # of training by every client, and averaging
    local_epochs: int  # passes of a client over its windows, in each round
    batch: int  # windows per step of a client; fewer if it has fewer
    lr: float  # learning rate of the clients' SGD
    momentum: float  # momentum of the clients' SGD, which keeps no state between rounds
    strategy: str  # fedavg, fedprox or fedadam
    proximal_mu: float | None  # fedprox: pull of a client towards the round's start
    server_lr: float | None  # fedadam: the server's learning rate
    beta_1: float | None  # fedadam: decay of the mean gradient
    beta_2: float | None  # fedadam: decay of the mean square
    tau: float | None  # fedadam: added to the root mean square; the larger, the less adaptive
    backend: str  # in_process, or ray for many clients on many machines; the result is the same

    def __post_init__(self) -> None:
        check_choice(STRATEGIES, strategy=self.strategy)
        check_choice(BACKENDS, backend=self.backend)
        for strategy, keys in STRATEGIES.items():
            for key in keys:
                self._check_own(key, strategy)
        check_least(1, rounds=self.rounds, local_epochs=self.local_epochs, batch=self.batch)
        for key in ("lr", "server_lr", "tau"):
            self._check(key, lambda value: 0 < value < math.inf, "positive and finite")
        for key in ("momentum", "beta_1", "beta_2"):
            self._check(key, lambda value: 0 <= value < 1, "in [0, 1)")
        self._check("proximal_mu", lambda value: 0 <= value < math.inf, "at least 0 and finite")

    def _check(self, key: str, holds: Callable[[Any], bool], must: str) -> None:
        value = getattr(self, key)
        if value is not None and not holds(value):
            raise ValueError(f"{key}={value} must be {must}")

    def _check_own(self, key: str, strategy: str) -> None:
        value = getattr(self, key)
        if strategy == self.strategy and value is None:
            raise ValueError(
                f"{key}=null must be a number for strategy={strategy}; set it, or "
                f"choose federation={strategy}, which sets it"
            )
        if strategy != self.strategy and value is not None:
            raise ValueError(
                f"{key}={value} has no effect with strategy={self.strategy}; set it to "
                f"null, or choose federation={strategy}"
            )
