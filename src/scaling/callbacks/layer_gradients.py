"""Gradient and update statistics of every parameter tensor at regular steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from scaling.callbacks.optimizer_step import Step
from scaling.callbacks.parameter_tensors import ratio
from scaling.callbacks.recording import Recording


class LayerGradients(Recording):
    """Record every parameter tensor in the table `layers`, below the trainer's `log_dir`.

    Statistics are of the accumulated, unscaled gradient before clipping, over the coordinates of
    each tensor: L2 norm, root mean square, mean and variance (over coordinates, so not comparable
    with a variance over mini-batches). `update_to_weight` is the norm of the measured update,
    without decoupled weight decay, over that of the tensor before it; missing for a tensor of
    zeros. A parameter shared by two modules appears once, under its first name.

    Read-only: training is bit-identical with or without it.

    Args:
        every: optimizer steps between two measured ones; the first step is one of them.
        flush_every: measured steps between copies from the device.

    Raises:
        ValueError: at construction for `every` or `flush_every` below 1; at the start of `fit` for
            several optimizers or devices.
    """

    table = "layers"
    cost = "layer_statistics_percent"

    def __init__(self, *, every: int, flush_every: int):
        super().__init__(every=every, flush_every=flush_every)

    def before(self, step: Step) -> None:
        self.mean, self.variance = step.spread

    def measure(self, step: Step) -> Mapping[str, Tensor]:
        return {
            "norm": step.norms,
            "mean": self.mean,
            "variance": self.variance,
            "update": step.updates,
            "weight": step.weights,
        }

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        columns = {name: np.asarray(x) for name, x in super().rows(measured, steps).items()}
        norm, mean, variance, update, weight = (columns.pop(name) for name in measured)
        return columns | {
            "grad_norm": norm,
            "grad_rms": norm / np.sqrt(columns["size"]),
            "grad_mean": mean,
            "grad_variance": variance,
            "update_to_weight": ratio(update, weight),
        }
