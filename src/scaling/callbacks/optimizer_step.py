"""Measurements of an optimizer step, taken once for all callbacks."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import lightning as L
import torch
from jaxtyping import Float
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor

from scaling.gradients.norms import layer_norms, layer_spread


class Step:
    """An optimizer step, from just before until just after it, for every tensor that it changes.

    Everything is measured once, on the device, on first access. Gradients are accumulated, before
    clipping, and without the scale of 16-bit precision. Access `spread` in
    `on_before_optimizer_step`, and `updates` after the step.

    Args:
        number: of optimizer steps taken before.
        epoch: of the step.
        lr: of the first parameter group.
        tensors: that the step changes, at least one.
        shares: share of each tensor that weight decay removes; nan if it cannot be separated.
        scale: loss scale of the gradients.
        before: memory for a copy of the tensors.
    """

    def __init__(
        self,
        *,
        number: int,
        epoch: int,
        lr: float,
        tensors: list[Tensor],
        shares: list[float],
        scale: float,
        before: list[Tensor],
    ):
        self.number, self.epoch, self.lr = number, epoch, lr
        self.tensors, self.shares, self.scale = tensors, shares, scale
        self._before = before
        torch._foreach_copy_(before, tensors)
        # before the step: norms of the gradients, and of the tensors
        self.norms, self.weights = layer_norms([*self.gradients, *before]).view(2, -1).unbind()
        if scale != 1:
            self.norms = self.norms / scale
        kept = [1.0 if math.isnan(share) else 1 - share for share in shares]
        if any(factor != 1 for factor in kept):  # the result of decay alone
            torch._foreach_mul_(before, kept)

    @property
    def gradients(self) -> list[Tensor]:
        """The present gradients; until the step is taken, before clipping and with their scale."""
        return [tensor.grad for tensor in self.tensors if tensor.grad is not None]

    @cached_property
    def spread(self) -> Float[Tensor, "2 tensors"]:
        """Mean and variance over the coordinates of each gradient."""
        if self.scale == 1:
            return layer_spread(self.gradients, self.norms)
        spread = layer_spread(self.gradients, self.norms * self.scale)
        return spread / spread.new_tensor([[self.scale], [self.scale**2]])

    @cached_property
    def updates(self) -> Float[Tensor, " tensors"]:
        """Norm of the measured change of each tensor, without decoupled weight decay."""
        torch._foreach_sub_(self._before, self.tensors)
        return layer_norms(self._before)

    @property
    def taken(self) -> bool:
        """Whether the updates were measured."""
        return "updates" in vars(self)


def begin(trainer: L.Trainer, optimizer: torch.optim.Optimizer) -> Step | None:
    """The step that is about to be taken; None if no parameter has a gradient.

    Call it in `on_before_optimizer_step`, under `torch.no_grad`. The first callback that calls it
    measures the step, and the others share the result. One copy of the parameters stays in memory
    as long as the optimizer.

    Raises:
        ValueError: for a sparse gradient.
    """
    step = _LAST.get(optimizer)
    if step is not None and step.number == trainer.global_step and not step.taken:
        return step
    tensors, shares = [], []
    for group in optimizer.param_groups:
        moved = [parameter for parameter in group["params"] if parameter.grad is not None]
        tensors += moved
        shares += [decay_share(optimizer, group)] * len(moved)
    if not tensors:
        return None
    if any(parameter.grad.is_sparse for parameter in tensors):
        raise ValueError("sparse gradients cannot be measured; build embeddings with sparse=False")
    _LAST[optimizer] = Step(
        number=trainer.global_step,
        epoch=trainer.current_epoch,
        lr=float(optimizer.param_groups[0]["lr"]),
        tensors=tensors,
        shares=shares,
        scale=remaining_scale(trainer, optimizer),
        before=_memory(tensors, step),
    )
    return _LAST[optimizer]


def loss_of(trainer: L.Trainer, outputs: Any) -> Tensor | None:
    """The loss of a batch as returned by `training_step`, from outputs of `on_train_batch_end`.

    Undoes Lightning's division by `accumulate_grad_batches`. None for a batch without a loss.
    """
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    if loss is None:
        return None
    parts = trainer.accumulate_grad_batches
    return loss.detach() if parts == 1 else parts * loss.detach()


def decay_share(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> float:
    """The share of its parameters that weight decay removes in a step of a parameter group.

    nan if decay is not a factor on the parameters, separate from the gradient's part.
    """
    share = float(group["lr"]) * group.get("weight_decay", 0.0)
    if isinstance(optimizer, torch.optim.SGD):
        apart = group["momentum"] == 0
    else:
        apart = isinstance(optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay")
    return share if apart or not share else math.nan


def remaining_scale(trainer: L.Trainer, optimizer: torch.optim.Optimizer) -> float:
    """The loss scale that gradients still have if the optimizer unscales them itself, else 1."""
    plugin = trainer.precision_plugin
    if not isinstance(plugin, MixedPrecision) or plugin.scaler is None:
        return 1.0
    inside = getattr(optimizer, "_step_supports_amp_scaling", False)
    return plugin.scaler.get_scale() if inside else 1.0


_LAST: WeakKeyDictionary[torch.optim.Optimizer, Step] = WeakKeyDictionary()


def _memory(tensors: Sequence[Tensor], last: Step | None) -> list[Tensor]:
    """Memory for a copy of tensors; that of the last step if it had the same tensors."""
    if last is not None and [id(tensor) for tensor in last.tensors] == list(map(id, tensors)):
        return last._before
    return [torch.empty_like(tensor) for tensor in tensors]
