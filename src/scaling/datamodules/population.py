"""Windows of clients and of those that come after a shift: all that adaptation is studied on."""

from dataclasses import dataclass

import torch

from scaling.contracts.labeled import Labeled, check


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
