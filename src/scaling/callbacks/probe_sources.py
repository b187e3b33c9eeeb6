"""Probes of the noise scale from accumulation, single examples, or parts of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from scaling.callbacks.optimizer_step import Step
from scaling.callbacks.probe_passes import part_norms
from scaling.gradients.norms import layer_norms
from scaling.gradients.parameter_uses import ParameterUses

PARTS = 8  # of a batch, at most, in extra passes

Squares = dict[int, Tensor]  # id of a parameter -> squared norm of its gradient


@dataclass
class Passes:
    """Observations of the forward and backward passes of a step so far."""

    number: int  # of the step
    batch: Any = None  # of the last forward pass
    sizes: list[float] = field(default_factory=list)  # examples of each micro-batch
    uses: ParameterUses | None = None  # seen in the last forward pass
    scale: float = 1.0  # of the loss
    micro: list[Squares] = field(default_factory=list)  # of what each backward pass adds
    whole: Squares = field(default_factory=dict)  # of the gradient
    earlier: dict[int, Tensor] = field(default_factory=dict)  # the gradient, if more may be added


class Probe(NamedTuple):
    """Squared gradient norms of each tensor of a step, for a small and a big batch size."""

    source: str
    small_batch: float
    big_batch: float
    small_norms: Tensor  # mean over the small batches
    big_norms: Tensor


def from_accumulation(step: Step, passes: Passes, *, divided: int) -> Probe:
    """A probe from the micro-batches of a step, whose sizes may differ.

    The mean of k gradients of b_i examples has the noise of k / mean(1 / b_i) examples.

    Args:
        step: that follows.
        passes: of the step.
        divided: number by which the loss of each micro-batch was divided.
    """
    count, sizes = len(passes.micro), passes.sizes
    if len(sizes) < count:  # one batch, taken apart by the module
        sizes = [sizes[0] / count] * count
    small = count / sum(1 / size for size in sizes)
    mean = torch.stack([_of(step, part) for part in passes.micro]).mean(0)
    whole = _of(step, passes.whole) * (divided / count) ** 2
    return Probe("accumulation", small, count * small, mean * divided**2, whole)


def from_examples(step: Step, passes: Passes, uses: ParameterUses) -> Probe:
    """A probe from the gradient of each example, which hooks have seen in the step's own passes."""
    size, seen = passes.sizes[0], uses.contributions
    means = seen.squared_norms().mean(1) * (size / passes.scale) ** 2
    by_id = dict(zip(map(id, seen.parameters), means, strict=True))
    return Probe("per example", 1.0, size, _of(step, by_id), _of(step, passes.whole))


def from_parts(step: Step, passes: Passes, trainer: L.Trainer, module: L.LightningModule) -> Probe:
    """A probe from extra passes over parts of the batch, by the module's `losses(batch)`."""
    size = int(passes.sizes[0])
    count = max(2, min(PARTS, size // 2))  # a batch normalisation needs 2 examples
    sizes = [len(part) for part in np.array_split(np.arange(size), count)]
    small = count / sum(1 / part for part in sizes)
    norms = part_norms(trainer, module, passes.batch, step.tensors, sizes=sizes, scale=passes.scale)
    return Probe("parts", small, count * small, *norms)


def squares(gradients: Mapping[int, Tensor], scale: float) -> Squares:
    """Squared norms of gradients, without the scale of the loss."""
    norms = (layer_norms(list(gradients.values())) / scale) ** 2
    return dict(zip(gradients, norms, strict=True))


def _of(step: Step, norms: Squares) -> Tensor:
    """The numbers of the tensors of a step; 0 for a tensor without a gradient."""
    return torch.stack([norms.get(id(p), step.norms.new_zeros(())) for p in step.tensors])
