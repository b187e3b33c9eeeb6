"""Windows of clients before a shift, and windows after it, for adaptation studies."""

from dataclasses import dataclass

import torch

from scaling.contracts.labeled import Labeled, check


@dataclass(frozen=True, eq=False)
class Population:
    """Windows before and after a shift, in disjoint parts.

    Raises:
        ValueError: if a part is empty, has another shape than the others, is not finite, or has
            labels out of range; or if the clients or the query have one class only.
    """

    clients: tuple[Labeled, ...]  # training windows of each client
    source: Labeled  # of the same distribution, not trained on
    query: Labeled  # of this fold, after the shift; its labels are only for scoring
    heldout: Labeled  # after the same shift, not adapted to
    classes: int
    best_accuracy: float | None  # best possible accuracy on the query's distribution, if known
    best_accuracy_se: float | None  # its standard error, if it is estimated
    checks: dict[str, int | float]  # results of `leaks`
    notes: tuple[str, ...] = ()  # how files were read, and whether they are not the reference

    def __post_init__(self) -> None:
        check(self.parts())
        for name, (_, labels) in self.parts().items():
            if labels.min() < 0 or labels.max() >= self.classes:
                raise ValueError(
                    f"data: {name} has labels from {labels.min()} to {labels.max()}; they must be "
                    f"0 to {self.classes - 1}"
                )
        for name, labels in (("clients", self.pooled.labels), ("query", self.query.labels)):
            if len(labels.unique()) < 2:
                raise ValueError(
                    f"data: all windows of the {name} are of class {int(labels[0])}, one of "
                    f"{self.classes}; adaptation needs at least two classes"
                )

    def parts(self) -> dict[str, Labeled]:
        """All parts by name."""
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
