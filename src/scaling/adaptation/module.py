"""The Lightning module of adaptation without labels."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from scaling.adaptation.batch_norm import estimate, normalises_batches, set_modes
from scaling.adaptation.objective import Objective, Terms
from scaling.adaptation.parameters import Named, adapted_parameters, squared_distance
from scaling.gradients.norms import cosine, total_norm
from scaling.optim.lr_scaling import scaled_lr
from scaling.optim.parameter_groups import optimization

STATISTICS = ("source", "query", "batch")
COUNTS = ("windows", "taken", "skipped", "resets")  # saved in checkpoints


class Adapter(L.LightningModule):
    """Adapt a source model to a query: windows without labels.

    A batch is `(windows,)`, and an epoch is a pass over the query. Validation gives the logits of
    each batch; the callback `Evaluation` scores them, because no label reaches this module.

    The gradients of the two terms of the objective are computed separately, to report the cosine
    between them. Callbacks and the optimizer see their weighted sum, plus the gradient of the pull.
    `reported` holds scalars of the last update. Dropout is off: no random numbers are drawn.

    Args:
        net: the source model, which offers `logits(windows)`. It is changed in place.
        query: all windows to adapt on.
        objective: what is minimised.
        adapt: which parameters are adapted: `norm`, `head` or `all` (`adapted_parameters`).
        statistics: those that batch normalisation uses. `source` keeps those of training; `query`
            estimates them once, on the whole query; `batch` normalises by each batch, and evaluates
            with a running mean of the batches' statistics.
        pull: weight of the squared distance from the source in the loss; 0 for none.
        reset_above: return to the source, with a new optimizer, if a pass ends with more than this
            share of the query predicted as one class; null never does. Uses no labels.
        lr_rule: `fixed`, `linear` or `sqrt`: how the learning rate follows the batch of a pass.
        lr_reference: batch at which the learning rate is that of the run.
        sizes: gives the batch of a pass, counted from 0.
        optimizer: as for `Learner`.
        schedule: as for `Learner`; a function of the step alone.

    Raises:
        ValueError: naming the parameter whose value is invalid, or invalid for this network.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        query: Float[Tensor, "n length features"],
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
                f"{type(net).__name__} cannot be adapted: it has no logits(windows); "
                "choose model=tcn or model=gru"
            )
        if statistics not in STATISTICS:
            raise ValueError(f"statistics={statistics} must be one of {', '.join(STATISTICS)}")
        if statistics != "source" and not normalises_batches(net):
            raise ValueError(
                f"statistics={statistics} needs batch normalisation; set it to source, or choose "
                "model.normalisation=batch"
            )
        if lr_reference < 1:
            raise ValueError(f"lr_reference={lr_reference} must be at least 1 window")
        if not 0 <= pull < float("inf"):
            raise ValueError(f"pull={pull} must be finite and at least 0")
        if reset_above is not None and not 0 < reset_above < 1:
            raise ValueError(f"reset_above={reset_above} must lie between 0 and 1")
        self.adapted = adapted_parameters(net, adapt)
        scaled_lr(1.0, batch=sizes(0), reference=lr_reference, rule=lr_rule)  # checks the rule
        self.net: Any = net.requires_grad_(False)
        for parameter in self.adapted.values():
            parameter.requires_grad_(True)
        self.query, self.objective, self.statistics = query, objective, statistics
        self.pull, self.reset_above = pull, reset_above
        self.lr_rule, self.lr_reference, self.sizes = lr_rule, lr_reference, sizes
        self.optimizer, self.schedule = optimizer, schedule
        self.source = copy.deepcopy(net.state_dict())
        self.windows = self.taken = 0  # windows used so far, and updates
        self.skipped = self.resets = 0
        self.reported: dict[str, Tensor] = {}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adapter":
        """Move the source with the module, such as to a device."""
        self.source = {name: fn(tensor) for name, tensor in self.source.items()}
        super()._apply(fn, recurse)
        return self

    def load_source(self, state: Mapping[str, Tensor]) -> None:
        """Replace the source model's weights and statistics, before anything is adapted."""
        self.source = copy.deepcopy(dict(state))
        self.net.load_state_dict(self.source)

    def reset(self) -> None:
        """Return to the source, bit for bit, and to an optimizer without state."""
        self.resets += 1
        self.net.load_state_dict(self.source)
        self.optimizers(use_pl_optimizer=False).state.clear()  # type: ignore[union-attr]
        self._estimate_statistics()

    @property
    def passes(self) -> float:
        """Passes over the query so far; a whole number after each."""
        return self.windows / len(self.query)

    def on_fit_start(self) -> None:
        if not self.windows:
            self._estimate_statistics()
        self.net.train()  # Lightning warns about modules in eval mode

    def on_train_start(self) -> None:
        set_modes(self.net, batch_statistics=self.statistics == "batch")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        size = self.sizes(self.current_epoch)
        factor = scaled_lr(1.0, batch=size, reference=self.lr_reference, rule=self.lr_rule)
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
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Set the gradient to the sum of those of the terms; report their norms and cosine."""
        entropy, diversity = _gradients(self.terms, self.adapted)
        self.reported |= {
            "entropy_grad_norm": total_norm(list(entropy)),
            "diversity_grad_norm": total_norm(list(diversity)),
            "gradient_cosine": cosine(list(entropy), list(diversity)),
        }
        total = self._total_gradient(self.terms, entropy, diversity, self.adapted)
        for parameter, gradient in zip(self.adapted.values(), total, strict=True):
            parameter.grad = gradient

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Skip the update if `margin` kept no prediction."""
        skip = self.objective.margin is not None and not self.terms.kept
        self.reported["skipped"] = torch.full_like(self.terms.kept, float(skip))
        if skip:
            self.skipped += 1
            optimizer.zero_grad(set_to_none=True)

    def query_gradient_norm(self) -> float:
        """L2 norm of the gradient on the whole query, taken as one batch; changes nothing.

        Batch normalisation uses the same statistics as in updates.
        """
        windows = self.query.to(self.device)
        with torch.inference_mode(False), torch.enable_grad():
            net = copy.deepcopy(self.net)  # its running statistics may change
            if self.statistics == "query" and not self.windows:  # later the net has them
                estimate(net, windows)
            set_modes(net, batch_statistics=self.statistics == "batch")
            adapted = {name: p for name, p in net.named_parameters() if name in self.adapted}
            terms = self.objective.terms(net.logits(windows).log_softmax(dim=1))
            gradient = self._total_gradient(terms, *_gradients(terms, adapted), adapted)
        return float(total_norm(gradient))

    def validation_step(
        self, batch: tuple[Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> Float[Tensor, "n classes"]:
        logits: Tensor = self.net.logits(batch[0])
        return logits

    def columns(self) -> dict[str, int | float]:
        """Counts for the row; empty before the first update."""
        if not self.taken:
            return {}
        return {
            "adapted_parameters": sum(p.numel() for p in self.adapted.values()),
            "skipped_updates": self.skipped,
            "resets": self.resets,
            "windows_per_update": self.windows / self.taken,
            "passes": self.passes,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["adapter"] = {key: getattr(self, key) for key in COUNTS}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        vars(self).update(checkpoint["adapter"])

    def configure_optimizers(self) -> Any:
        return optimization(self.adapted.values(), self.optimizer, self.schedule)

    def _total_gradient(
        self, terms: Terms, entropy: Iterable[Tensor], diversity: Iterable[Tensor], adapted: Named
    ) -> list[Tensor]:
        """The gradient of the loss for the `adapted` parameters, from those of its terms."""
        slope = self.objective.slope(terms)
        both = [slope * (a + terms.weight * b) for a, b in zip(entropy, diversity, strict=True)]
        if not self.pull:
            return both
        away = torch.autograd.grad(self._pull(adapted), list(adapted.values()))
        return [a + b for a, b in zip(both, away, strict=True)]

    def _pull(self, adapted: Named) -> Tensor:
        source = {name: self.source[name] for name in adapted}
        return self.pull * squared_distance(adapted, source)

    def _estimate_statistics(self) -> None:
        if self.statistics == "query":
            estimate(self.net, self.query.to(self.device))


def _gradients(terms: Terms, adapted: Named) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The gradients of the entropy and the diversity term for the `adapted` parameters."""
    parameters = list(adapted.values())
    entropy = torch.autograd.grad(terms.entropy, parameters, retain_graph=True)
    return entropy, torch.autograd.grad(terms.diversity, parameters)
