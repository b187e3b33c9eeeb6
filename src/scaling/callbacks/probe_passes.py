"""Extra passes over parts of a batch, which leave no trace in training."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from scaling.gradients.norms import layer_norms


def part_norms(
    trainer: L.Trainer,
    module: Any,
    batch: Any,
    parameters: Sequence[Tensor],
    *,
    sizes: Sequence[int],
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Squared gradient norms of parts of a batch, and of their mean.

    Random state and buffers are restored, and the gradients of the parameters are not touched.

    Args:
        trainer: its precision is used.
        module: with `losses(batch)`, one loss per example.
        batch: tensors whose first dimension is that of the examples.
        parameters: of the gradients.
        sizes: examples of each part.
        scale: of the loss in the backward pass, against underflow in float16.

    Returns:
        for each parameter: mean squared norm over the parts, squared norm of the parts' mean.
    """
    squares, whole = [], [torch.zeros_like(parameter) for parameter in parameters]
    start = 0
    with untouched(module), torch.enable_grad():
        for size in sizes:
            rows = slice(start, start + size)
            start += size
            part = tree_map(lambda x, at=rows: _rows(x, at), batch)
            with trainer.precision_plugin.train_step_context():
                loss = module.losses(part).mean()
            gradients = torch.autograd.grad(
                loss * scale, list(parameters), allow_unused=True, materialize_grads=True
            )
            squares.append(layer_norms(list(gradients)) ** 2)
            torch._foreach_add_(whole, gradients)
    small = torch.stack(squares).mean(0) / scale**2
    return small, (layer_norms(whole) / (len(sizes) * scale)) ** 2


@contextlib.contextmanager
def untouched(module: torch.nn.Module) -> Iterator[None]:
    """Restore random state and buffers at the end of a block."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices, key=str)):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


def _rows(x: Any, at: slice) -> Any:
    """Some examples of a tensor; anything else is left as it is."""
    return x[at] if isinstance(x, Tensor) and x.ndim else x
