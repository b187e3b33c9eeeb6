"""Scores of an adaptation, before its first pass over the query and after each."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor

from scaling.adaptation.batch_norm import estimate, normalises_batches
from scaling.adaptation.module import Adapter
from scaling.adaptation.predictions import prediction_measures
from scaling.contracts.protocols import Scorer

AVERAGED = ("loss", "entropy", "diversity")  # over the updates of a pass


class Evaluation(L.Callback):
    """Score every split in each validation, and reset an adapter that has collapsed.

    The splits are the named validation loaders, `query` among them. Each validation logs

    - `passes` over the query so far;
    - the scores of every split, such as `query_accuracy`;
    - `*_won` and `*_lost` of every split, in windows since the validation before the first pass;
      missing without that validation;
    - measures of the query's predictions without labels (`prediction_measures`);
    - mean and standard deviation over the updates of the pass, such as `pass_loss` and
      `pass_loss_sd`; a single update has no standard deviation;
    - `resets` so far.

    An adapter that predicts one class for more than its `reset_above` of the query is reset after
    the pass. This uses no labels.

    Args:
        adapter: the module that is trained.
        data: scores the predictions.
    """

    def __init__(self, adapter: Adapter, data: Scorer):
        self.adapter, self.data = adapter, data
        self.logits: dict[int, list[Tensor]] = {}  # by loader, in this validation
        self.updates: list[Float[Tensor, " averaged"]] = []  # of this pass, on their device
        self.before: dict[str, list[int]] = {}  # predicted classes by split, before the first pass
        self.now: dict[str, list[int]] = {}  # the same in the last validation
        self.summary: dict[str, int | float] = {}
        self.collapsed = False  # in the last validation

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        measured = self.adapter.reported | {"loss": outputs["loss"]}
        self.updates.append(torch.stack([measured[name] for name in AVERAGED]))

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.updates.clear()
        if self.collapsed:
            self.collapsed = False
            self.summary["reset_passes"] = self.adapter.passes
            self.adapter.reset()

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self.logits.setdefault(dataloader_idx, []).append(outputs)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        loaders: Any = trainer.val_dataloaders
        logits = {split: torch.cat(self.logits[i]) for i, split in enumerate(loaders)}
        self.logits.clear()
        self.now = {split: values.argmax(dim=1).tolist() for split, values in logits.items()}
        scores = self._scores(logits)
        predicted = prediction_measures(logits["query"].log_softmax(dim=1))
        unlabeled = {f"query_{name}": value for name, value in predicted.items()}
        if not self.adapter.windows:
            self.before = self.now
            self.summary |= self._statistics_scores(loaders)
            self.summary |= {f"before_{name}": x for name, x in (scores | unlabeled).items()}
        if scores["query_accuracy"] > self.summary.get("oracle_query_accuracy", -1.0):
            accuracies = {name: x for name, x in scores.items() if name.endswith("_accuracy")}
            self.summary |= {f"oracle_{name}": x for name, x in accuracies.items()}
            self.summary["oracle_passes"] = self.adapter.passes
        self.collapsed = predicted["largest_share"] > (self.adapter.reset_above or 1.0)
        measured = {"passes": self.adapter.passes, **scores, **self._changes(), **unlabeled}
        measured |= self._of_pass() | {"resets": float(self.adapter.resets)}
        self.adapter.log_dict(measured)

    def columns(self) -> dict[str, int | float]:
        """The evaluations of the row beside the last one.

        `before_*` is the source model; `statistics_*` the source model with only its
        batch-normalisation statistics replaced by those of the query; `oracle_*` the evaluation
        with the largest accuracy on the query, the first if several, after `oracle_passes`. The
        oracle uses labels, so it is not a method. `reset_passes` is when the adapter was last
        reset.
        """
        return self.summary

    def state_dict(self) -> dict[str, Any]:
        updates = [update.tolist() for update in self.updates]
        return {"summary": self.summary, "before": self.before, "updates": updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.summary, self.before = state["summary"], state["before"]
        self.updates = [torch.tensor(update) for update in state["updates"]]

    def _scores(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        return {
            f"{split}_{name}": score
            for split, values in logits.items()
            for name, score in self.data.scores(split, values).items()
        }

    def _changes(self) -> dict[str, float]:
        return {
            f"{split}_{change}": windows
            for split, before in self.before.items()
            for change, windows in self.data.changes(split, before, self.now[split]).items()
        }

    def _of_pass(self) -> dict[str, float]:
        """Means and standard deviations over the updates of this pass."""
        if not self.updates:
            return {}
        table = torch.stack([update.cpu() for update in self.updates])
        columns = {"": table.mean(dim=0)} | ({"_sd": table.std(dim=0)} if len(table) > 1 else {})
        return {
            f"pass_{name}{suffix}": value
            for suffix, values in columns.items()
            for name, value in zip(AVERAGED, values.tolist(), strict=True)
        }

    def _statistics_scores(
        self, loaders: Mapping[str, Iterable[tuple[Tensor, ...]]]
    ) -> dict[str, float]:
        """Scores of the network with the query's statistics; empty without batch normalisation."""
        if not normalises_batches(self.adapter.net):
            return {}
        net, device = copy.deepcopy(self.adapter.net), self.adapter.device
        estimate(net, self.adapter.query.to(device))
        logits = {
            split: torch.cat([net.logits(batch[0].to(device)) for batch in batches])
            for split, batches in loaders.items()
        }
        return {f"statistics_{name}": score for name, score in self._scores(logits).items()}
