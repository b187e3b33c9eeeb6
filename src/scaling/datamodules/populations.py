"""Windows of clients and of those that come after a shift: all that adaptation is studied on."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor


class Labeled(NamedTuple):
    """Windows, and the class of each."""

    windows: Float[Tensor, "n length features"]
    labels: Integer[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Population:
    """Windows before and after a shift, in parts that share nothing.

    Raises:
        ValueError: if a part is empty, does not fit the others, is not finite, or has labels that
            are none; or if the clients or the query have one class only.
    """

    clients: tuple[Labeled, ...]  # what each client trains the source model on
    source: Labeled  # of all clients' distribution; nobody trains on them
    query: Labeled  # of this fold and of the shifted distribution; its labels are for scoring only
    heldout: Labeled  # of the same shift, not adapted on
    classes: int
    best_accuracy: float | None  # of the best classifier of the query's distribution, if known
    best_accuracy_se: float | None  # standard error of it, where it is estimated from draws
    checks: dict[str, int | float]  # counts of what was looked for; see `leaks`

    def __post_init__(self) -> None:
        length, features = self.source.windows.shape[1:]
        for name, part in self.parts().items():
            _check(name, part, length, features, self.classes)
        for name, labels in (("clients", self.pooled.labels), ("query", self.query.labels)):
            if len(labels.unique()) < 2:
                raise ValueError(
                    f"data: all windows of the {name} are of class {int(labels[0])}, of "
                    f"{self.classes} that there are; adaptation needs at least two classes"
                )

    def parts(self) -> dict[str, Labeled]:
        """Every part under its name."""
        clients = {f"client {i}": client for i, client in enumerate(self.clients)}
        rest = {"source": self.source, "query": self.query, "heldout": self.heldout}
        return clients | rest

    @property
    def pooled(self) -> Labeled:
        """The windows of all clients, one client after another."""
        return Labeled(
            torch.cat([client.windows for client in self.clients]),
            torch.cat([client.labels for client in self.clients]),
        )

    @property
    def fingerprint(self) -> str:
        """Identity of all windows and labels."""
        return _digest(self.parts().values())

    @property
    def clients_fingerprint(self) -> str:
        """Identity of what a source model is trained on, the same for all folds and shifts."""
        return _digest(self.clients)


def _check(name: str, part: Labeled, length: int, features: int, classes: int) -> None:
    windows, labels = part
    if not len(windows):
        raise ValueError(f"data: {name} has no windows; choose fewer clients or more windows")
    if len(windows) != len(labels):
        raise ValueError(f"data: {name} has {len(windows)} windows and {len(labels)} labels")
    if windows.shape[1:] != (length, features):
        raise ValueError(
            f"data: {name} has windows of {windows.shape[1]} steps x {windows.shape[2]} features, "
            f"and the source of {length} x {features}; they must be alike"
        )
    if not windows.isfinite().all():
        window, step, feature = (~windows.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"data: {name} is not finite at window {window}, step {step}, feature {feature} "
            f"({windows[window, step, feature].item()}); remove or repair such records"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"data: {name} has labels from {labels.min()} to {labels.max()}; they must be 0 to "
            f"{classes - 1}"
        )


def _digest(parts: Iterable[Labeled]) -> str:
    content = hashlib.sha256()
    for windows, labels in parts:
        content.update(repr(tuple(windows.shape)).encode())
        content.update(windows.contiguous().numpy())  # type: ignore[arg-type]
        content.update(labels.contiguous().numpy())  # type: ignore[arg-type]
    return content.hexdigest()[:16]
