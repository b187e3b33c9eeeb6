"""What the passes of an adaptation have come to so far."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

AVERAGED = ("loss", "entropy", "diversity")  # of the updates of a pass


class History:
    """The evaluation before the first update, the best one by labels, and the pass that runs."""

    def __init__(self) -> None:
        self.known: dict[str, int | float] = {}  # columns of the row
        self.classes: dict[str, list[int]] = {}  # by split: what each window was given to at first
        self.updates: list[Float[Tensor, " averaged"]] = []  # of this pass, on their device

    def update(self, *values: Float[Tensor, ""]) -> None:
        """Note what `AVERAGED` names, of one update."""
        self.updates.append(torch.stack([value.detach() for value in values]))

    def evaluation(self, found: Mapping[str, float]) -> None:
        """Note an evaluation: the first one as `before_*`, the best one as `oracle_*`.

        The best one has the largest accuracy on the query, which nobody without labels could know;
        of several the first.
        """
        if not found["passes"]:
            self.known |= {
                f"before_{key}": x
                for key, x in found.items()
                if key != "passes" and not key.endswith(("_won", "_lost"))
            }
        if found["query_accuracy"] > self.known.get("oracle_query_accuracy", -1.0):
            accuracies = {key: x for key, x in found.items() if key.endswith("_accuracy")}
            self.known |= {f"oracle_{key}": x for key, x in accuracies.items()}
            self.known["oracle_passes"] = found["passes"]

    def of_pass(self) -> dict[str, float]:
        """Mean and standard deviation over the updates of this pass; a single one has no second."""
        if not self.updates:
            return {}
        table = torch.stack([row.cpu() for row in self.updates])  # a checkpoint's are there
        means = zip(AVERAGED, table.mean(dim=0).tolist(), strict=True)
        found = {f"pass_{name}": mean for name, mean in means}
        if len(table) > 1:
            spreads = zip(AVERAGED, table.std(dim=0).tolist(), strict=True)
            found |= {f"pass_{name}_sd": spread for name, spread in spreads}
        return found

    def state_dict(self) -> dict[str, Any]:
        updates = [row.tolist() for row in self.updates]
        return {"known": dict(self.known), "classes": dict(self.classes), "updates": updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.known, self.classes = dict(state["known"]), dict(state["classes"])
        self.updates = [torch.tensor(row) for row in state["updates"]]
