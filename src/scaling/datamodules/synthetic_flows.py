"""Synthetic windows of clients before and after a drift, with a known best accuracy."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scaling.contracts.labeled import Labeled
from scaling.contracts.limits import check_least
from scaling.datamodules.leak_checks import leaks
from scaling.datamodules.oscillators import Oscillators, best_accuracy, oscillators
from scaling.datamodules.partition import dirichlet_partition
from scaling.datamodules.population import Population
from scaling.seeds import generator_for, seed_for

VERSION = "flows-1"  # change it when windows are drawn differently

MODEL, CLIENTS, SOURCE, SHIFTED, SHIFT, BEST = range(6)  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Populations whose classes are Gaussian time series (`oscillators`).

    The seed draws classes, clients, source windows and the direction of the drift; a fold draws its
    query and held-out windows. All folds, drifts and class mixes of a seed therefore have the same
    clients and share a source model.

    After the drift, feature j is exp(drift drift_scales u_j) x_j + drift drift_means v_j, with u
    and v standard normal and the same for all classes. The map is invertible, so the best accuracy
    on the query does not depend on it: adaptation could recover what a source model loses. With
    `drift=0`, `imbalance=1` and no unseen class the query has the distribution of the source.

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    seed: int
    classes: int
    length: int  # time steps of a window, at least 2
    features: int  # features of a step
    separation: float  # standard deviation of a feature's mean, over classes
    detuning: float  # distance of the classes' frequencies in one channel, in radians per step
    modulus: float  # modulus of all poles, below 1; oscillations last longer near 1
    offset: float  # standard deviation of a window's level
    clients: int
    alpha: float  # concentration of the clients' labels (Dirichlet); inf: no skew
    client_windows: int  # windows of all clients together
    source_windows: int
    query_windows: int
    heldout_windows: int
    drift: float  # strength; 0 turns it off
    drift_means: float  # standard deviation of the shifts at strength 1, in units of a feature's
    drift_scales: float  # standard deviation of the log of the factors at strength 1
    imbalance: float  # frequency of the query's first class over that of its last
    unseen_class: int | None  # a class that only the query has
    best_windows: int  # windows drawn to estimate the best accuracy

    def __post_init__(self) -> None:
        check_least(2, classes=self.classes, length=self.length, best_windows=self.best_windows)
        sizes = ("client_windows", "source_windows", "query_windows", "heldout_windows")
        check_least(1, **{key: getattr(self, key) for key in ("features", "clients", *sizes)})
        for key in ("separation", "detuning", "offset", "drift", "drift_means", "drift_scales"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ValueError(f"{key}={getattr(self, key)} must be finite and not negative")
        if not 0 <= self.modulus < 1:
            raise ValueError(f"modulus={self.modulus} must lie in [0, 1); else series diverge")
        if self.detuning * (self.classes - 1) >= math.pi:
            raise ValueError(
                f"detuning={self.detuning} must be below pi / {self.classes - 1}, so that all "
                "classes' frequencies lie between 0 and pi"
            )
        if not self.alpha > 0:
            raise ValueError(f"alpha={self.alpha} must be positive; inf divides labels evenly")
        if not 1 <= self.imbalance < math.inf:
            raise ValueError(
                f"imbalance={self.imbalance} must be finite and at least 1; with 1 all classes are "
                "equally frequent"
            )
        if self.clients > self.client_windows:
            raise ValueError(
                f"clients={self.clients} must be at most client_windows={self.client_windows}; "
                "each client needs a window"
            )
        if self.unseen_class is not None and not 0 <= self.unseen_class < self.classes:
            raise ValueError(
                f"unseen_class={self.unseen_class} must be null or 0 to {self.classes - 1}"
            )
        if self.unseen_class is not None and self.classes < 3:
            raise ValueError(
                f"unseen_class={self.unseen_class} leaves clients only one class; set classes=3 or "
                "more"
            )

    def fingerprint(self, path: str | None) -> str:
        """Version of the drawing of windows; the rest of the identity is in the config.

        Raises:
            ValueError: if `path` is not None.
        """
        if path is not None:
            raise ValueError(f"path={path} must be null; these data are drawn, not read")
        return VERSION

    @lru_cache(maxsize=32)  # noqa: B019 - the key is the settings, which are all of `self`
    def draw(self, path: str | None, fold: int) -> Population:
        """The population of a fold; cached for all folds of a sweep."""
        self.fingerprint(path)
        clients, source = self.before()
        model = self.model()
        both = self.query_windows + self.heldout_windows
        shifted = self.shift(self._windows(model, self.query_shares(), both, SHIFTED, fold))
        query, heldout = (
            Labeled(*parts)
            for parts in zip(*(part.split(self.query_windows)[:2] for part in shifted), strict=True)
        )
        drawn = Population(clients, source, query, heldout, self.classes, *self.best(), {})
        return replace(drawn, checks=leaks(drawn.parts()))

    @lru_cache(maxsize=8)  # noqa: B019 - as above; all folds share them
    def before(self) -> tuple[tuple[Labeled, ...], Labeled]:
        """Windows of each client and of the source, before the drift."""
        model = self.model()
        pooled = self._windows(model, self.known_shares(), self.client_windows, CLIENTS)
        draws = np.random.default_rng(seed_for("data", self.seed, CLIENTS))
        members = dirichlet_partition(pooled.labels.numpy(), self.clients, self.alpha, draws)
        clients = tuple(Labeled(*(part[torch.from_numpy(m)] for part in pooled)) for m in members)
        return clients, self._windows(model, self.known_shares(), self.source_windows, SOURCE)

    def model(self) -> Oscillators:
        """The classes before the drift."""
        return oscillators(
            self.classes,
            self.features,
            separation=self.separation,
            detuning=self.detuning,
            modulus=self.modulus,
            offset=self.offset,
            draws=generator_for("data", self.seed, MODEL),
        )

    def known_shares(self) -> Float[Tensor, " classes"]:
        """Shares of the classes before the drift: equal, without the unseen class."""
        shares = torch.ones(self.classes)
        if self.unseen_class is not None:
            shares[self.unseen_class] = 0
        return shares / shares.sum()

    def query_shares(self) -> Float[Tensor, " classes"]:
        """Shares of the classes in the query's distribution: falling geometrically."""
        shares = torch.logspace(0, -math.log10(self.imbalance), self.classes)
        return shares / shares.sum()

    def shift(self, labeled: Labeled) -> Labeled:
        """Apply the drift to windows."""
        draws = generator_for("data", self.seed, SHIFT)
        factors, means = torch.randn(2, self.features, generator=draws)
        factors = (self.drift * self.drift_scales * factors).exp()
        moved = labeled.windows * factors + self.drift * self.drift_means * means
        return Labeled(moved, labeled.labels)

    @lru_cache(maxsize=8)  # noqa: B019 - as above; it is the same for all folds
    def best(self) -> tuple[float, float]:
        """Best accuracy on the query's distribution and the standard error of its estimate."""
        draws = generator_for("data", self.seed, BEST)
        return best_accuracy(
            self.model(), self.query_shares(), self.length, self.best_windows, draws
        )

    def _windows(
        self, model: Oscillators, shares: Float[Tensor, " classes"], count: int, *stream: int
    ) -> Labeled:
        draws = generator_for("data", self.seed, *stream)
        labels = torch.multinomial(shares, count, replacement=True, generator=draws)
        return Labeled(model.draw(labels, self.length, draws), labels)
