"""Gradient, update and parameter norms of every optimizer step, before and after clipping."""

import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from scaling.callbacks.optimizer_step import Step, begin, loss_of
from scaling.gradients.norms import clamped_norm, clip_coefficient, total_norm
from scaling.storage.tables import Recorder

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


class Layout(NamedTuple):
    """What the numbers of a step are, in their order."""

    tensors: int  # of the parameters that it moves: norms of gradients, updates and weights
    clamped: int  # norms after clipping by value
    losses: int  # of micro-batches
    reported: tuple[str, ...]  # by the module


class GradientNorms(L.Callback):
    """Record each optimizer step in the table `steps`, below the trainer's `log_dir`.

    Norms are L2 over all parameters of the optimizer that have a gradient. They are taken from the
    accumulated, unscaled gradients, so accumulation and 16-bit precision do not change what they
    mean. Post-clip is exact: for clipping by norm it is the pre-clip norm times the factor that
    torch applies, for clipping by value it is measured on the clamped gradients.

    `update_norm` is the measured change of the parameters without the part that decoupled weight
    decay (AdamW, or SGD without momentum) took, which is `decay_norm`; where decay runs through
    the optimizer's state it cannot be told apart, so `update_norm` holds both and `decay_norm` is
    missing. `lr` is that of the first parameter group. Steps that a gradient scaler skipped are
    marked, not counted as clipped.

    `train_loss` is the mean loss of the step's micro-batches, each as `training_step` gave it; one
    that gave none (None) does not count. With `accumulate_grad_batches=n` Lightning divides every
    loss by n, also where an epoch, or `limit_train_batches`, ends within a group: such a step has a
    gradient of m micro-batches divided by n, which is m / n times that of their mean loss. It is
    that smaller gradient which is clipped and applied, and whose norms are recorded.

    Norms are those at `on_before_optimizer_step` of this callback. Where the module has that hook,
    or a callback that comes later, the gradient of some steps is looked at once more after the
    step, and a warning says if it is not the one that was measured.

    A module may offer `reported`, scalar tensors of the step just taken by name, the same names at
    every step: they become columns. One named `skipped` marks a step that moved nothing.

    It watches and never steers: final weights are bit-identical with and without it. Numbers stay
    on the device and are copied once every `flush_every` steps. Steps whose number
    `log_every_n_steps` divides go to the trainer's loggers as well; with 0 none does. Its cost, one
    copy of the parameters in memory and a few passes over them, is itself measured.

    Args:
        flush_every: optimizer steps between copies from the device.

    Raises:
        ValueError: at the start of `fit`, for what it could not measure rightly: several
            optimizers, manual optimization, or a module that clips in its own way.
    """

    def __init__(self, *, flush_every: int):
        if flush_every < 1:
            raise ValueError(f"flush_every={flush_every} must be at least 1 step")
        self.flush_every = flush_every
        self.recorder: Recorder | None = None
        self.resumed: dict[str, float] = {"rows": 0, "seconds": 0.0, "lasted": 0.0}
        self.pending: list[Tensor] = []  # one vector per step
        self.seconds, self.started = 0.0, time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
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
        self.trainer = trainer
        self.others = _who_else(trainer, module, self)  # who may change gradients after us
        self.recorder = Recorder(
            Path(trainer.log_dir or ".", "steps"),
            rows_per_part=5_000,
            keep=int(self.resumed["rows"]),
        )
        self.pending = []
        self.known: list[tuple[int, int, float, list[float]]] = []  # step, epoch, lr, decay shares
        self.layout = Layout(0, 0, 0, ())
        self.losses: list[Tensor] = []  # of the micro-batches since the last step
        self.clamped: list[Tensor] = []  # norm after clipping by value
        self.step: Step | None = None  # a step that has begun
        self.seconds = self.resumed["seconds"]
        self.started = time.perf_counter() - self.resumed["lasted"]
        self.resumed = {"rows": 0, "seconds": 0.0, "lasted": 0.0}  # the next fit is another one

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        entered = time.perf_counter()
        with torch.no_grad():
            self._before_step(trainer, optimizer)
        self.seconds += time.perf_counter() - entered

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        entered = time.perf_counter()
        if (loss := loss_of(trainer, outputs)) is not None:
            self.losses.append(loss)
        if self.step is not None:  # micro-batches that do not step end here too
            with torch.no_grad():
                self._after_step(trainer, self.step, getattr(module, "reported", {}))
            if len(self.pending) >= self.flush_every:
                self._flush(trainer)
        self.seconds += time.perf_counter() - entered

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; the rows that it counts are on disk before it is."""
        if self.recorder is None:
            return self.resumed
        self._close(self.trainer)
        return {"rows": self.recorder.rows, "seconds": self.seconds, "lasted": self.lasted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close(trainer)

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        self._close(trainer)

    def columns(self) -> dict[str, float]:
        """This callback's part of the row: means over steps, and what it cost.

        `train_loss` is the mean over the last 5 % of steps, `clip_percent` the share of clipped
        steps among those that were not skipped, `clip_coefficient_cv` the coefficient's standard
        deviation over its mean, `statistics_percent` the share of the training time spent here
        (on a GPU, of the time that the host spent here).
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

    def _before_step(self, trainer: L.Trainer, optimizer: torch.optim.Optimizer) -> None:
        self.step = begin(trainer, optimizer)
        if self.step is None:
            return
        clip = trainer.gradient_clip_val
        self.clamped = []
        if trainer.gradient_clip_algorithm == "value" and clip is not None and clip > 0:
            self.clamped.append(clamped_norm(self.step.gradients, float(clip)))
        self.lr = float(optimizer.param_groups[0]["lr"])

    def _after_step(self, trainer: L.Trainer, step: Step, reported: Mapping[str, Tensor]) -> None:
        """The step's numbers, still on the device; totals are taken when they are copied."""
        if self.others and step.number % (self.flush_every + 1) == 0 and step.scale == 1:
            self._look_again(trainer, step)  # about once a flush, and in even and odd steps
        each = (step.norms, step.updates, step.weights)
        scalars = (*self.clamped, *self.losses, *reported.values())
        device = step.norms.device
        row = torch.cat([*each, *(value.float().reshape(1).to(device) for value in scalars)])
        layout = Layout(
            len(step.norms),
            len(self.clamped),
            len(self.losses),
            tuple(reported),
        )
        if self.pending and layout != self.layout:
            self._flush(trainer)
        self.layout = layout
        self.pending.append(row)
        self.known.append((step.number, trainer.current_epoch, self.lr, step.shares))
        self.losses, self.step = [], None

    def _look_again(self, trainer: L.Trainer, step: Step) -> None:
        """Warn, once, if the gradient that a step was taken with is not the one measured before."""
        if not step.gradients:
            return
        left = float(total_norm(step.gradients))
        clip = trainer.gradient_clip_val
        before = float(torch.linalg.vector_norm(step.norms))
        expected = float(self.clamped[0]) if self.clamped else before
        if clip is not None and clip > 0 and not self.clamped:
            expected *= float(clip_coefficient(torch.tensor(before), float(clip)))
        if not math.isclose(left, expected, rel_tol=1e-3, abs_tol=1e-12) and math.isfinite(left):
            warnings.warn(
                f"the gradient of step {step.number} has norm {left:.4g}, and {expected:.4g} was "
                f"measured before {' and '.join(self.others)} changed it: the columns of norms, "
                "clipping and updates do not belong together; clip with "
                "Trainer(gradient_clip_val=...), or put GradientNorms last",
                stacklevel=2,
            )
            self.others = []

    def _flush(self, trainer: L.Trainer) -> None:
        """Copy the pending steps from the device, append them to the table and log some."""
        if not self.pending or self.recorder is None:
            return
        measured = torch.stack(self.pending).cpu().numpy()
        step, epoch, lr, shares = (np.array(values) for values in zip(*self.known, strict=True))
        with np.errstate(invalid="ignore", over="ignore"):  # of a run that diverges
            columns = self._totals(trainer, measured, shares)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        skipped = ~np.isfinite(columns["grad_norm_pre_clip"]) & (scaler is not None)
        skipped |= columns.pop("skipped", np.zeros(len(step))) > 0
        clipped = (columns["clip_coefficient"] < 1) & ~skipped
        for name in ("update_norm", "decay_norm"):
            columns[name] = np.where(skipped, 0, columns[name])  # nothing moved
        table = {"step": step, "epoch": epoch, "lr": lr, **columns}
        table |= {"clipped": clipped, "skipped": skipped}
        self.recorder.extend(table)
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        for logger in trainer.loggers if every else ():
            for i in np.flatnonzero(step % every == 0):
                values = {name: float(table[name][i]) for name in ("lr", *MEASURED)}
                logger.log_metrics(values, step=int(step[i]))
        self.pending, self.known = [], []

    def _totals(
        self, trainer: L.Trainer, measured: np.ndarray, shares: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The columns `MEASURED` of steps of one layout, and what the module reported of them."""
        tensors, clamped, losses, names = self.layout
        ends = np.cumsum([tensors, tensors, tensors, clamped, losses])
        norms, updates, weights, clamps, values, reported = np.split(measured, ends, axis=1)
        pre = _total(norms)
        clip = trainer.gradient_clip_val
        if clip is None or clip <= 0:  # Lightning's two ways to say no clipping
            post, coefficient = pre, np.ones_like(pre)
        elif clamped:
            post = clamps[:, 0]
            coefficient = post / pre
        else:
            coefficient = clip_coefficient(torch.from_numpy(pre), float(clip)).numpy()
            post = pre * coefficient
        return {
            "train_loss": values.mean(axis=1) if losses else np.full_like(pre, math.nan),
            "grad_norm_pre_clip": pre,
            "grad_norm_post_clip": post,
            "clip_coefficient": coefficient,
            "update_norm": _total(updates),
            "decay_norm": _total(weights * shares),
            "param_norm": _total(weights),
            **dict(zip(names, reported.T, strict=True)),
        }

    def _close(self, trainer: L.Trainer) -> None:
        self.lasted = time.perf_counter() - self.started
        self._flush(trainer)
        if self.recorder is not None:
            self.recorder.flush()


def _who_else(trainer: L.Trainer, module: L.LightningModule, own: L.Callback) -> list[str]:
    """Hooks between ours and the step, other than those of a module that reports its steps."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    later = callbacks[callbacks.index(own) + 1 :]
    hook = "on_before_optimizer_step"
    found = [
        f"{type(part).__name__}.{hook}" for part in later
        if getattr(type(part), hook) is not getattr(L.Callback, hook)
        and not type(part).__module__.startswith("scaling.")
    ]  # fmt: skip
    if getattr(type(module), hook) is not getattr(L.LightningModule, hook) and not hasattr(
        module, "reported"
    ):
        found.append(f"{type(module).__name__}.{hook}")
    return found


def _total(norms: np.ndarray) -> np.ndarray:
    """Norm over all tensors of each step, from those of each tensor."""
    return np.sqrt(np.square(norms, dtype=np.float64).sum(axis=1)).astype(np.float32)
