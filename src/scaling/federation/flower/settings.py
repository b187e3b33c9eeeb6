"""How a federation trains, in plain numbers; they need no Flower."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STRATEGIES: dict[str, tuple[str, ...]] = {  # and the settings that only they have
    "fedavg": (),
    "fedprox": ("proximal_mu",),
    "fedadam": ("server_lr", "beta_1", "beta_2", "tau"),
}
BACKENDS = ("in_process", "ray")


@dataclass(frozen=True, kw_only=True)
class Federation:
    """How clients train, and how their weights become one model's.

    Raises:
        ValueError: naming the setting that has no meaning, or none with this strategy.
    """

    rounds: int  # of training by every client, and averaging
    local_epochs: int  # passes of a client over its windows, in each round
    batch: int  # windows per step of a client; fewer where it has fewer
    lr: float  # of the clients' SGD
    momentum: float  # of the clients' SGD, which begins anew in each round
    strategy: str  # fedavg, fedprox or fedadam
    proximal_mu: float | None  # fedprox: pull of a client towards the round's start
    server_lr: float | None  # fedadam: the server's learning rate
    beta_1: float | None  # fedadam: decay of its mean gradient
    beta_2: float | None  # fedadam: decay of its mean square
    tau: float | None  # fedadam: added to its root mean square, the larger the less adaptive
    backend: str  # in_process, or ray for many clients on many machines; changes no result

    def __post_init__(self) -> None:
        for key, known in {"strategy": STRATEGIES, "backend": BACKENDS}.items():
            if getattr(self, key) not in known:
                raise ValueError(f"{key}={getattr(self, key)} must be one of {', '.join(known)}")
        for strategy, keys in STRATEGIES.items():
            for key in keys:
                self._check_own(key, strategy)
        for key in ("rounds", "local_epochs", "batch"):
            self._check(key, lambda value: value >= 1, "at least 1")
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
                f"{key}=null must be a number for strategy={strategy}; give one, or "
                f"choose federation={strategy}, which has one"
            )
        if strategy != self.strategy and value is not None:
            raise ValueError(
                f"{key}={value} means nothing for strategy={self.strategy}; set it to "
                f"null, or choose federation={strategy}"
            )
