"""Stop an adaptation that collapses or no longer improves, or only record when it would stop."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

LABELED = ("_accuracy", "_f1", "_mcc", "_loss", "_loss_se", "_won", "_lost")
OF_PASS = "pass_"  # measured without labels


class EarlyStop(L.Callback):
    """Stop by one of two rules on the validation after each epoch, or only record it.

    - Collapse: the metric `guard` is below `least` after more than `after` epochs. A measure that
      collapses, such as the entropy of the mean prediction, falls below it for good.
    - Patience: the metric `loss` has had no new minimum for `patience` epochs.

    The rules do not apply after the last planned epoch.

    With `observe_only` training continues; `columns` still has the rule that would have stopped it
    first, and when. If runs stop, their length depends on their measurements, so means over runs
    miss those that stopped.

    Args:
        loss: name of a metric that should decrease.
        patience: epochs without a new minimum.
        guard: name of a metric that must stay above `least`.
        least: minimum of `guard`.
        after: epochs before the guard applies.
        observe_only: record without stopping.

    Raises:
        ValueError: for numbers of epochs that are not positive, a metric that is not logged, or one
            that uses labels.
    """

    def __init__(
        self, *, loss: str, patience: int, guard: str, least: float, after: int, observe_only: bool
    ):
        for key, name in {"loss": loss, "guard": guard}.items():
            if name.endswith(LABELED) and not name.startswith(OF_PASS):
                raise ValueError(f"{key}={name} uses labels, but adaptation must stop without them")
        if patience < 1:
            raise ValueError(f"patience={patience} must be at least 1 epoch")
        if after < 0:
            raise ValueError(f"after={after} must be a number of epochs, at least 0")
        if not math.isfinite(least):
            raise ValueError(f"least={least} must be finite")
        self.loss, self.patience = loss, patience
        self.guard, self.least, self.after = guard, least, after
        self.observe_only = observe_only
        self.best, self.waited, self.epochs = math.inf, 0, 0
        self.stopped: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("best", "waited", "epochs", "stopped")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        loss, guard = (self._metric(trainer, name) for name in (self.loss, self.guard))
        self.epochs += 1
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(loss, self.best)
        collapse = self.epochs > self.after and guard < self.least
        impatient = self.waited >= self.patience
        over = trainer.global_step == trainer.max_steps  # as planned
        if (collapse or impatient) and not self.stopped and not over:
            self.stopped = {
                "stopped_pass": float(self.epochs),
                "stopped_by_collapse": float(collapse),
                "stopped_by_patience": float(impatient),
            }
        if self.stopped and not self.observe_only:
            trainer.should_stop = True

    def columns(self) -> dict[str, float]:
        """The epoch, from 1, after which a rule stopped or would stop the run, and the rule.

        If no rule applied, `stopped_pass` is missing and the others are 0.
        """
        return {"stopped_by_collapse": 0.0, "stopped_by_patience": 0.0} | self.stopped

    def _metric(self, trainer: L.Trainer, name: str) -> float:
        if name not in trainer.callback_metrics:
            names = ", ".join(sorted(trainer.callback_metrics))
            raise ValueError(f"no metric {name} to stop by; there are {names}")
        return float(trainer.callback_metrics[name])
