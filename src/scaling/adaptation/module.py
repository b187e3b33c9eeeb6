"""What a step of adaptation without labels is, and what a pass over the query has come to."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from scaling.adaptation import parameters as adapted
from scaling.adaptation.batch_norm import estimate, normalises_batches, set_modes
from scaling.adaptation.history import History
from scaling.adaptation.objective import Objective, Terms
from scaling.adaptation.predictions import prediction_measures
from scaling.gradients.norms import cosine, total_norm
from scaling.optim import lr_scaling
from scaling.optim.parameter_groups import optimization

STATISTICS = ("source", "query", "batch")


class Adapter(L.LightningModule):
    """Adapt a network to a query, windows without labels, from the source model that it is.

    A batch is `(windows,)`. An epoch is a pass over the query; after each, and before the first,
    the splits `val` (held-out windows of the same shift), `query` and `source` are evaluated. Their
    labels stay in the datamodule, which is asked for `scores(split, logits)`, and for how many
    windows a split has won and lost by its `changes`.

    Gradients of the two terms of the objective are taken apart, so that the cosine between them is
    known; their weighted sum, with the pull, is the gradient that everybody sees. `reported` has
    the scalars of the last update. Dropout is off, so nothing is drawn.

    Args:
        net: the source model; offers `logits(windows)`. It is changed in place.
        objective: what is minimised.
        adapt: `norm`, `head` or `all`; the other parameters stay (`adaptation.parameters`).
        statistics: of batch normalisation: `source` keeps those of training, `query` re-estimates
            them once on the whole query, `batch` normalises by each batch and keeps a running mean
            of their statistics for evaluation.
        pull: weight of the squared distance from the source in the loss; 0 for none.
        reset_above: share of the query that is given to one class after a pass, above which the
            source and a new optimizer take over, if the run goes on; null never does.
        lr_rule: `fixed`, `linear` or `sqrt`: how the learning rate follows the batch of a pass.
        lr_reference: batch at which the learning rate is that of the run.
        sizes: batch of each pass, from 0.
        optimizer: as for `Learner`.
        schedule: as for `Learner`; a function of the step alone.

    Raises:
        ValueError: naming the key that has no meaning, or none for this network.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        objective: Objective,
        adapt: str,
        statistics: str,
        pull: float,
        reset_above: float | None,
        lr_rule: str,
        lr_reference: int,
        sizes: Callable[[int], int],
        optimizer: Callable[[Iterable[Any]], Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
    ):
        super().__init__()
        if not hasattr(net, "logits"):
            raise ValueError(
                f"{type(net).__name__} cannot be adapted, for it gives no logits without labels; "
                "choose model=tcn or model=gru"
            )
        if statistics not in STATISTICS:
            raise ValueError(
                f"adaptation.statistics={statistics} must be one of {', '.join(STATISTICS)}"
            )
        if statistics != "source" and not normalises_batches(net):
            raise ValueError(
                f"adaptation.statistics={statistics} needs batch normalisation; set it to source, "
                "or choose model.normalisation=batch"
            )
        if lr_reference < 1:
            raise ValueError(f"adaptation.lr_reference={lr_reference} must be at least 1 window")
        if not 0 <= pull < float("inf"):
            raise ValueError(f"adaptation.pull={pull} must be finite and at least 0")
        if reset_above is not None and not 0 < reset_above < 1:
            raise ValueError(f"adaptation.reset_above={reset_above} must lie between 0 and 1")
        try:
            self.adapted = adapted.adapted_parameters(net, adapt)
            lr_scaling.scaled_lr(1.0, batch=sizes(0), reference=lr_reference, rule=lr_rule)
        except ValueError as error:  # which does not know where its keys stand in a config
            raise ValueError(f"adaptation.{error}") from error
        self.net: Any = net.requires_grad_(False)
        for parameter in self.adapted.values():
            parameter.requires_grad_(True)
        self.objective, self.statistics = objective, statistics
        self.pull, self.reset_above = pull, reset_above
        self.lr_rule, self.lr_reference, self.sizes = lr_rule, lr_reference, sizes
        self.optimizer, self.schedule = optimizer, schedule
        self.source = copy.deepcopy(net.state_dict())
        self.windows = self.taken = 0  # adapted on so far, and updates
        self.skipped = self.resets = 0
        self.history = History()
        self.evaluated: dict[int, list[Tensor]] = {}  # logits by loader
        self.reported: dict[str, Tensor] = {}
        self.collapsed = False  # in the last evaluation
        self.classes: dict[str, list[int]] = {}  # by split, in the last evaluation

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adapter":
        """Moves, such as that to a device, take the source along."""
        self.source = {name: fn(tensor) for name, tensor in self.source.items()}
        super()._apply(fn, recurse)
        return self

    def load_source(self, state: Mapping[str, Tensor]) -> None:
        """Take other weights and statistics for the source, as long as nothing is adapted."""
        self.source = copy.deepcopy(dict(state))
        self.net.load_state_dict(self.source)

    def reset(self) -> None:
        """Go back to the source, to the last bit, and to an optimizer that has seen nothing."""
        self.net.load_state_dict(self.source)
        self.optimizers(use_pl_optimizer=False).state.clear()  # type: ignore[union-attr]
        self._restate()

    @property
    def passes(self) -> float:
        """Passes over the query so far; a whole number after each."""
        return self.windows / len(self._query)

    def on_fit_start(self) -> None:
        if not self.windows:
            self._restate()
        self.net.train()  # until Lightning has looked for modules that were left in evaluation

    def on_train_start(self) -> None:
        set_modes(self.net, batch_statistics=self.statistics == "batch")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        factor = lr_scaling.scaled_lr(
            1.0,
            batch=self.sizes(self.current_epoch),
            reference=self.lr_reference,
            rule=self.lr_rule,
        )
        rates = self.lr_schedulers().get_last_lr()  # type: ignore[union-attr]
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = lr * factor

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Float[Tensor, ""]:
        (windows,) = batch
        self.windows += len(windows)
        self.taken += 1
        self.terms = self.objective.terms(self.net.logits(windows).log_softmax(dim=1))
        loss = self.objective.loss(self.terms)
        if self.pull:
            loss = loss + self._pull(self.adapted)
        self.reported = {
            "windows": torch.full_like(self.terms.kept, len(windows)),
            "entropy": self.terms.mean_entropy,
            "diversity": self.terms.diversity_share,
            "diversity_weight": self.terms.weight,
            "kept": self.terms.kept,
        }
        self.history.update(loss, self.terms.mean_entropy, self.terms.diversity_share)
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Set the gradient to the sum of those of the terms, and report how these relate."""
        first, second = _gradients(self.terms, self.adapted)
        self.reported |= {
            "entropy_grad_norm": total_norm(list(first)),
            "diversity_grad_norm": total_norm(list(second)),
            "gradient_cosine": cosine(list(first), list(second)),
        }
        for parameter, gradient in zip(
            self.adapted.values(),
            self._summed(self.terms, first, second, self.adapted),
            strict=True,
        ):
            parameter.grad = gradient

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Skip an update that no prediction was sure enough for."""
        none = self.objective.margin is not None and not self.terms.kept
        self.reported["skipped"] = torch.full_like(self.terms.kept, float(none))
        if none:
            self.skipped += 1
            optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self, windows: Float[Tensor, "n length features"]) -> float:
        """L2 norm of the gradient on windows taken as one batch; nothing is changed by it.

        Batch normalisation takes the statistics that updates are made with.
        """
        windows = windows.to(self.device)
        with torch.inference_mode(False), torch.enable_grad():
            net = copy.deepcopy(self.net)  # whose running statistics may move
            if self.statistics == "query" and not self.windows:  # else they are there
                estimate(net, windows)
            set_modes(net, batch_statistics=self.statistics == "batch")
            own = {name: p for name, p in net.named_parameters() if name in self.adapted}
            terms = self.objective.terms(net.logits(windows).log_softmax(dim=1))
            gradients = self._summed(terms, *_gradients(terms, own), own)
        return float(total_norm(gradients))

    def validation_step(
        self, batch: tuple[Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.evaluated.setdefault(dataloader_idx, []).append(self.net.logits(batch[0]))

    def on_validation_epoch_end(self) -> None:
        """Log the scores of each split under its name, and of the query what needs no labels."""
        loaders: Any = self.trainer.val_dataloaders
        logits = {name: torch.cat(self.evaluated[i]) for i, name in enumerate(loaders)}
        self.evaluated.clear()
        found = {"passes": self.passes, **self._scores(logits), **self._changes(logits)}
        predicted = prediction_measures(logits["query"].log_softmax(dim=1))
        found |= {f"query_{name}": value for name, value in predicted.items()}
        if not self.windows and normalises_batches(self.net):
            self.history.known |= self._statistics_only(loaders)
        self.history.evaluation(found)
        found |= self.history.of_pass()
        found["resets"] = float(self.resets)
        self.collapsed = predicted["largest_share"] > (self.reset_above or 1.0)
        self.log_dict(found)

    def on_train_epoch_end(self) -> None:
        self.history.updates.clear()
        if self.collapsed:
            self.collapsed = False
            self.resets += 1
            self.history.known["reset_passes"] = self.passes
            self.reset()

    def columns(self) -> dict[str, int | float]:
        """This module's part of the row.

        `before_*` is the source model, `statistics_*` the same with statistics of batch
        normalisation re-estimated on the query and nothing else, `oracle_*` the evaluation that the
        labels of the query would choose, after `oracle_passes`. `windows_per_update` is counted.
        """
        if not self.taken:
            return dict(self.history.known)
        counted = {
            "adapted_parameters": sum(p.numel() for p in self.adapted.values()),
            "skipped_updates": self.skipped,
            "resets": self.resets,
            "windows_per_update": self.windows / self.taken,
            "passes": self.passes,
        }
        return self.history.known | counted

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["adapter"] = {
            **{key: getattr(self, key) for key in ("windows", "taken", "skipped", "resets")},
            "history": self.history.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = dict(checkpoint["adapter"])
        self.history.load_state_dict(state.pop("history"))
        vars(self).update(state)

    def configure_optimizers(self) -> Any:
        return optimization(self.adapted.values(), self.optimizer, self.schedule)

    @property
    def _query(self) -> Float[Tensor, "n length features"]:
        found: Tensor = self.trainer.datamodule.query  # type: ignore[attr-defined]
        return found

    def _summed(
        self, terms: Terms, first: Iterable[Tensor], second: Iterable[Tensor], own: adapted.Named
    ) -> list[Tensor]:
        """The gradient of the loss by `own` parameters, from those of its terms."""
        slope = self.objective.slope(terms)
        both = [slope * (a + terms.weight * b) for a, b in zip(first, second, strict=True)]
        if not self.pull:
            return both
        away = torch.autograd.grad(self._pull(own), list(own.values()))
        return [a + b for a, b in zip(both, away, strict=True)]

    def _pull(self, own: adapted.Named) -> Tensor:
        source = {name: self.source[name] for name in own}
        return self.pull * adapted.squared_distance(own, source)

    def _restate(self) -> None:
        if self.statistics == "query":
            estimate(self.net, self._query.to(self.device))

    def _scores(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return {
            f"{split}_{name}": score
            for split, values in logits.items()
            for name, score in data.scores(split, values).items()
        }

    def _changes(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        """`*_won` and `*_lost` of each split, in windows, since before the first pass.

        Nothing, if nothing was evaluated then.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.classes = {s: values.argmax(dim=1).tolist() for s, values in logits.items()}
        if not self.windows:
            self.history.classes = self.classes
        found: dict[str, float] = {}
        for split, before in self.history.classes.items():
            counts = data.changes(split, before, self.classes[split])
            found |= {f"{split}_{way}": count for way, count in counts.items()}
        return found

    def _statistics_only(self, loaders: Mapping[str, Iterable[tuple[Tensor]]]) -> dict[str, float]:
        net = copy.deepcopy(self.net)
        estimate(net, self._query.to(self.device))
        logits = {
            split: torch.cat([net.logits(batch[0].to(self.device)) for batch in batches])
            for split, batches in loaders.items()
        }
        return {f"statistics_{name}": score for name, score in self._scores(logits).items()}


def _gradients(terms: Terms, own: adapted.Named) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The gradients of both terms by `own` parameters."""
    parameters = list(own.values())
    first = torch.autograd.grad(terms.entropy, parameters, retain_graph=True)
    return first, torch.autograd.grad(terms.diversity, parameters)
