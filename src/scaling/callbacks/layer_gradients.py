"""Gradient and update statistics of every parameter tensor, every so many steps."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from scaling.callbacks.gradient_norms import decay_share, remaining_scale
from scaling.gradients import layer_moments
from scaling.tables import Recorder

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)


def kind(module: nn.Module, name: str) -> str:
    """What a parameter is: weight, bias, norm or embedding.

    Args:
        module: that owns the parameter.
        name: of the parameter in it.
    """
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    return "bias" if "bias" in name else "weight"


class LayerGradients(L.Callback):
    """Record every parameter tensor in the table `layers`, below the trainer's `log_dir`.

    Statistics are those of the accumulated, unscaled gradient before clipping, over the coordinates
    of each tensor: its L2 norm, the root of its mean square, its mean and its variance (over all
    coordinates, hence not comparable with a variance over mini-batches). `update_to_weight` is the
    norm of the measured update, without what decoupled weight decay took, over that of the tensor
    before it; missing for a tensor of zeros. A parameter that two modules share appears once, under
    its first name.

    It watches and never steers: final weights are bit-identical with and without it.

    Args:
        every: optimizer steps between two measured ones; the first step is one of them.
        flush_every: measured steps between copies from the device.

    Raises:
        ValueError: at construction for `every` or `flush_every` below 1; at the start of `fit` for
            several optimizers or devices.
    """

    def __init__(self, *, every: int, flush_every: int):
        for key, value in {"every": every, "flush_every": flush_every}.items():
            if value < 1:
                raise ValueError(f"{key}={value} must be at least 1 step")
        self.every, self.flush_every = every, flush_every
        self.recorder: Recorder | None = None
        self.resumed: dict[str, float] = {"rows": 0, "seconds": 0.0, "lasted": 0.0}
        self.pending: list[Tensor] = []  # (statistics, layers) of a step each
        self.moved: list[Tensor] | None = None  # parameters of a step that has begun
        self.started = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if len(trainer.optimizers) != 1 or trainer.world_size != 1:
            raise ValueError(
                f"LayerGradients needs one optimizer and one device, but there are "
                f"{len(trainer.optimizers)} and {trainer.world_size}; drop the callback"
            )
        self.trainer = trainer
        self.recorder = Recorder(
            Path(trainer.log_dir or ".", "layers"),
            rows_per_part=100_000,
            keep=int(self.resumed["rows"]),
        )
        self.layers = _layers(module)
        self.pending = []
        self.known: list[tuple[int, int, tuple[int, ...]]] = []  # step, epoch, ids of tensors
        self.moved = None
        self.seconds = self.resumed["seconds"]
        self.started = time.perf_counter() - self.resumed["lasted"]

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.global_step % self.every:
            return
        entered = time.perf_counter()
        with torch.no_grad():
            self._before_step(trainer, optimizer)
        self.seconds += time.perf_counter() - entered

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.moved is None:
            return
        entered = time.perf_counter()
        with torch.no_grad():
            self._after_step()
        if len(self.pending) >= self.flush_every:
            self._flush()
        self.seconds += time.perf_counter() - entered

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; the rows that it counts are on disk before it is."""
        if self.recorder is None:
            return self.resumed
        self._close()
        return {"rows": self.recorder.rows, "seconds": self.seconds, "lasted": self.lasted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        self._close()

    def columns(self) -> dict[str, float]:
        """The share of the training time that was spent here, in percent."""
        if self.recorder is None:
            return {}
        return {"layer_statistics_percent": 100 * self.seconds / self.lasted}

    def _before_step(self, trainer: L.Trainer, optimizer: torch.optim.Optimizer) -> None:
        moved, shares = [], []
        for group in optimizer.param_groups:
            some = [parameter for parameter in group["params"] if parameter.grad is not None]
            moved += some
            shares += [decay_share(optimizer, group)] * len(some)
        if not moved:
            return
        scale = remaining_scale(trainer, optimizer)
        moments = layer_moments([parameter.grad for parameter in moved])
        moments = moments / moments.new_tensor([scale, scale, scale**2])[:, None]
        weights = torch.stack(torch._foreach_norm(moved, 2, dtype=torch.float32))
        self.before = [parameter.detach().clone() for parameter in moved]
        torch._foreach_mul_(self.before, [1 - share if share == share else 1.0 for share in shares])
        self.moved, self.measured = moved, (moments, weights)
        self.number = (trainer.global_step, trainer.current_epoch, tuple(map(id, moved)))

    def _after_step(self) -> None:
        """The change of each tensor, and the step's block of rows, still on the device."""
        assert self.moved is not None
        torch._foreach_sub_(self.before, self.moved)
        updates = torch.stack(torch._foreach_norm(self.before, 2, dtype=torch.float32))
        moments, weights = self.measured
        change = (updates / weights).where(weights > 0, torch.nan)  # biases begin at zero
        self.pending.append(torch.cat([moments, change[None]]))
        self.known.append(self.number)  # only now: a step that raises has no row
        self.moved, self.before = None, []

    def _flush(self) -> None:
        """Copy the pending steps from the device and append them to the table."""
        if not self.pending or self.recorder is None:
            return
        measured = torch.cat(self.pending, dim=1).cpu().numpy()
        blocks = [[self.layers[number] for number in numbers] for _, _, numbers in self.known]
        layers = [layer for block in blocks for layer in block]
        lengths = [len(block) for block in blocks]
        norm, mean, variance, change = measured
        size = np.array([layer.size for layer in layers])
        self.recorder.extend(
            {
                "step": np.repeat([step for step, _, _ in self.known], lengths),
                "epoch": np.repeat([epoch for _, epoch, _ in self.known], lengths),
                "layer": np.array([layer.name for layer in layers], dtype=object),
                "kind": np.array([layer.kind for layer in layers], dtype=object),
                "size": size,
                "grad_norm": norm,
                "grad_rms": norm / np.sqrt(size),
                "grad_mean": mean,
                "grad_variance": variance,
                "update_to_weight": change,
            }
        )
        self.pending, self.known = [], []

    def _close(self) -> None:
        self.lasted = time.perf_counter() - self.started
        self._flush()
        if self.recorder is not None:
            self.recorder.flush()


class Layer(NamedTuple):
    """A parameter tensor."""

    name: str
    kind: str
    size: int  # coordinates


def _layers(module: nn.Module) -> dict[int, Layer]:
    """The parameters of a module by their identity; shared ones under their first name."""
    found: dict[int, Layer] = {}
    for path, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            whole = f"{path}.{name}" if path else name
            layer = Layer(whole.removeprefix("net."), kind(owner, name), parameter.numel())
            found.setdefault(id(parameter), layer)
    return found
