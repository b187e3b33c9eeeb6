"""Gradient, update and parameter norms of every optimizer step, before and after clipping."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import lightning as L
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scaling.callbacks.optimizer_step import Step, loss_of
from scaling.callbacks.recording import Recording
from scaling.gradients.norms import clamped_norm, clip_coefficient, total_norm

MEASURED = (
    "train_loss",
    "grad_norm_pre_clip",
    "grad_norm_post_clip",
    "clip_coefficient",
    "update_norm",
    "decay_norm",
    "param_norm",
)
AVERAGED = [name for name in MEASURED if "norm" in name]


@runtime_checkable
class ReportsSteps(Protocol):
    """A module that reports numbers of each optimizer step.

    Its `on_before_optimizer_step` may change the gradient; `skipped` marks steps that are not
    taken.
    """

    reported: Mapping[str, Tensor]  # name -> scalar of the step just taken; always the same names


class GradientNorms(Recording):
    """Record each optimizer step in the table `steps`, below the trainer's `log_dir`.

    Norms are L2 over all parameters of the optimizer that have a gradient. They are computed from
    the accumulated, unscaled gradients, so they are comparable under accumulation and 16-bit
    precision. Post-clip is exact: for clipping by norm it is the pre-clip norm times the factor
    that torch applies, for clipping by value it is measured on the clamped gradients.

    `update_norm` is the measured change of the parameters without decoupled weight decay (AdamW, or
    SGD without momentum); the change by decay is `decay_norm`. If decay goes through the
    optimizer's state, the two cannot be separated: `update_norm` then includes both and
    `decay_norm` is missing. `lr` is that of the first parameter group. Steps that a gradient scaler
    skipped are marked, and not counted as clipped.

    `train_loss` is the mean loss of the step's micro-batches, as returned by `training_step`; those
    that return None are left out. With `accumulate_grad_batches=n` Lightning divides every loss by
    n, even if an epoch, or `limit_train_batches`, ends within a group: the gradient of such a step,
    with m micro-batches, is m / n times that of their mean loss. This smaller gradient is clipped
    and applied, and its norms are recorded.

    Norms are those at `on_before_optimizer_step` of this callback. If the module or a later
    callback has that hook, the gradient of some steps is measured again after the step, and a
    warning is given if it has changed.

    Numbers that a module reports (`ReportsSteps`) become columns, too.

    Read-only: training is bit-identical with or without it. Numbers stay on the device and are
    copied once every `flush_every` steps. Every `log_every_n_steps`-th step is also sent to the
    trainer's loggers; 0 sends none. It costs one copy of the parameters in memory and a few passes
    over them, whose time is recorded.

    Args:
        flush_every: optimizer steps between copies from the device.

    Raises:
        ValueError: at the start of `fit`, for several optimizers, manual optimization, or a module
            that overrides clipping, which it cannot measure correctly.
    """

    table = "steps"
    rows_per_part = 5_000

    def __init__(self, *, flush_every: int):
        super().__init__(flush_every=flush_every)

    def check(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        name = type(module).__name__
        if len(trainer.optimizers) != 1 or not module.automatic_optimization:
            raise ValueError(
                f"GradientNorms needs one optimizer and automatic optimization, but {name} has "
                f"{len(trainer.optimizers)} and automatic_optimization="
                f"{module.automatic_optimization}; drop the callback"
            )
        if trainer.world_size != 1:
            raise ValueError(
                f"GradientNorms measures on one device, but there are {trainer.world_size}, and "
                "the norm of a sharded gradient would be partial; drop the callback"
            )
        if type(module).configure_gradient_clipping is not (
            L.LightningModule.configure_gradient_clipping
        ):
            raise ValueError(
                f"GradientNorms cannot know what {name}.configure_gradient_clipping does; clip "
                "with Trainer(gradient_clip_val=...), or drop the callback"
            )

    def start(self, state: Mapping[str, Any]) -> None:
        self.others = _later_hooks(self)  # that may change gradients after measurement
        self.clips: list[float] = []  # in force at each pending step; a callback may change it
        self.losses: list[Tensor] = []  # of the micro-batches since the last step

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (loss := loss_of(trainer, outputs)) is not None:
            self.losses.append(loss)
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)

    def before(self, step: Step) -> None:
        clip = self.trainer.gradient_clip_val
        self.clip = float(clip) if clip is not None and clip > 0 else math.inf  # 0 is no clipping
        by_value = self.trainer.gradient_clip_algorithm == "value" and self.clip < math.inf
        self.clamped = clamped_norm(step.gradients, self.clip) if by_value else None

    def measure(self, step: Step) -> Mapping[str, Tensor]:
        """Return the step's numbers by tensor; totals are computed when they are copied."""
        if self.others and step.number % (self.flush_every + 1) == 0 and step.scale == 1:
            self._look_again(step)  # about once a flush, and in even and odd steps
        self.clips.append(self.clip)
        losses, self.losses = self.losses, []
        device = step.norms.device
        scalars = {"clamped": [] if self.clamped is None else [self.clamped], "losses": losses}
        if isinstance(self.module, ReportsSteps):
            scalars |= {name: [x] for name, x in self.module.reported.items()}
        return {"norms": step.norms, "updates": step.updates, "weights": step.weights} | {
            name: torch.stack([x.float().reshape(()).to(device) for x in values])
            for name, values in scalars.items()
            if values
        }

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        with np.errstate(invalid="ignore", over="ignore"):  # of a run that diverges
            columns = self._totals(dict(measured), steps)
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        skipped = ~np.isfinite(columns["grad_norm_pre_clip"]) & (scaler is not None)
        skipped |= columns.pop("skipped", np.zeros(len(steps))) > 0
        for name in ("update_norm", "decay_norm"):
            columns[name] = np.where(skipped, 0, columns[name])  # nothing moved
        table = {
            "step": np.array([step.number for step in steps]),
            "epoch": np.array([step.epoch for step in steps]),
            "lr": np.array([step.lr for step in steps]),
            **columns,
            "clipped": (columns["clip_coefficient"] < 1) & ~skipped,
            "skipped": skipped,
        }
        self._log(table)
        return table

    def columns(self) -> dict[str, float]:
        """This callback's columns of the row: means over steps, and its cost.

        `train_loss` is the mean over the last 5 % of steps. `clip_percent` is the share of clipped
        steps among those that were not skipped, and `clip_coefficient_cv` the coefficient's
        standard deviation over its mean. `statistics_percent` is the share of the training time
        spent here (on a GPU, the time of the host).
        """
        if self.recorder is None or not self.recorder.rows:
            return {}
        table = self.recorder.columns
        last = max(1, round(0.05 * self.recorder.rows))
        columns = {
            "train_loss": table["train_loss"][-last:].mean(),
            "skipped_steps": table["skipped"].sum(),
            "statistics_percent": 100 * self.seconds / self.lasted,
        }
        taken = ~table["skipped"]
        if taken.any():
            coefficient = table["clip_coefficient"][taken]
            columns["clip_percent"] = 100 * table["clipped"][taken].mean()
            columns["clip_coefficient_cv"] = coefficient.std() / coefficient.mean()
            columns |= {name: table[name][taken].mean() for name in AVERAGED}
        return {name: float(value) for name, value in columns.items()}

    def _look_again(self, step: Step) -> None:
        """Warn, once, if the gradient of a step changed after it was measured."""
        if not step.gradients:
            return
        left = float(total_norm(step.gradients))
        measured = torch.linalg.vector_norm(step.norms)
        if self.clamped is not None:
            measured = self.clamped
        elif self.clip < math.inf:
            measured = measured * clip_coefficient(measured, self.clip)
        expected = float(measured)
        if not math.isclose(left, expected, rel_tol=1e-3, abs_tol=1e-12) and math.isfinite(left):
            warnings.warn(
                f"the gradient of step {step.number} has norm {left:.4g}, but {expected:.4g} was "
                f"measured before {' and '.join(self.others)} changed it: the columns of norms, "
                "clipping and updates are inconsistent; clip with "
                "Trainer(gradient_clip_val=...), or put GradientNorms last",
                stacklevel=2,
            )
            self.others = []

    def _log(self, table: Mapping[str, np.ndarray]) -> None:
        """Send the steps that `log_every_n_steps` divides to the trainer's loggers."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        for logger in self.trainer.loggers if every else ():
            for i in np.flatnonzero(table["step"] % every == 0):
                values = {name: float(table[name][i]) for name in ("lr", *MEASURED)}
                logger.log_metrics(values, step=int(table["step"][i]))

    def _totals(
        self, measured: dict[str, np.ndarray], steps: Sequence[Step]
    ) -> dict[str, np.ndarray]:
        """Return the columns `MEASURED` of steps, then the numbers that the module reported."""
        clips, self.clips = np.array(self.clips[: len(steps)]), self.clips[len(steps) :]
        norms, updates, weights = (measured.pop(name) for name in ("norms", "updates", "weights"))
        clamped, losses = measured.pop("clamped", None), measured.pop("losses", None)
        pre = _total(norms)
        post, coefficient = pre.copy(), np.ones_like(pre)
        if clamped is not None:
            post = clamped[:, 0]
            coefficient = post / pre
        else:
            for clip in np.unique(clips[clips < math.inf]):
                here = clips == clip
                coefficient[here] = clip_coefficient(torch.from_numpy(pre[here]), float(clip))
                post[here] = pre[here] * coefficient[here]
        shares = np.array([step.shares for step in steps])
        return {
            "train_loss": np.full_like(pre, math.nan) if losses is None else losses.mean(axis=1),
            "grad_norm_pre_clip": pre,
            "grad_norm_post_clip": post,
            "clip_coefficient": coefficient,
            "update_norm": _total(updates),
            "decay_norm": _total(weights * shares),
            "param_norm": _total(weights),
            **{name: values[:, 0] for name, values in measured.items()},
        }


def _later_hooks(recording: Recording) -> list[str]:
    """Hooks of other parts that run between the measurement of a gradient and its step."""
    callbacks: list[L.Callback] = recording.trainer.callbacks  # type: ignore[attr-defined]
    later = callbacks[callbacks.index(recording) + 1 :]
    parts = [part for part in later if not isinstance(part, Recording)]
    hook = "on_before_optimizer_step"
    hooks = [part for part in parts if getattr(type(part), hook) is not getattr(L.Callback, hook)]
    module: Any = recording.module
    overridden = getattr(type(module), hook) is not getattr(L.LightningModule, hook)
    if overridden and not isinstance(module, ReportsSteps):
        hooks.append(module)
    return [f"{type(part).__name__}.{hook}" for part in hooks]


def _total(norms: np.ndarray) -> np.ndarray:
    """Norm over all tensors of each step, from the norms of the tensors."""
    return np.sqrt(np.square(norms, dtype=np.float64).sum(axis=1)).astype(np.float32)
