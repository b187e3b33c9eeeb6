"""Labeled windows, their checks, and the loss of label frequencies."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor


class Labeled(NamedTuple):
    """Windows and their classes."""

    windows: Float[Tensor, "n length features"]
    labels: Integer[Tensor, " n"]


def check(parts: Mapping[str, Labeled]) -> None:
    """Check that windows can be trained on.

    Args:
        parts: name -> windows and labels.

    Raises:
        ValueError: if a part is empty, has another shape than the first, has more or fewer labels
            than windows, or is not finite.
    """
    if not parts:
        return
    first, (pattern, _) = next(iter(parts.items()))
    length, features = pattern.shape[1:]
    for name, (windows, labels) in parts.items():
        if not len(windows):
            raise ValueError(
                f"data: {name} has no windows; choose fewer clients, less skewed ones, or more "
                "windows"
            )
        if len(windows) != len(labels):
            raise ValueError(f"data: {name} has {len(windows)} windows and {len(labels)} labels")
        if windows.shape[1:] != (length, features):
            raise ValueError(
                f"data: {name} has windows of {windows.shape[1]} steps x {windows.shape[2]} "
                f"features, but {first} of {length} x {features}; they must be equal"
            )
        if not windows.isfinite().all():
            window, step, feature = (~windows.isfinite()).nonzero()[0].tolist()
            raise ValueError(
                f"data: {name} is not finite at window {window}, step {step}, feature {feature} "
                f"({windows[window, step, feature].item()}); remove or repair such records"
            )


def unigram_loss(
    counted: Integer[Tensor, " n"], labels: Integer[Tensor, " m"], classes: int
) -> float:
    """Mean loss, in nats, of predicting labels by how often each class was counted, plus one.

    Args:
        counted: labels whose frequencies predict.
        labels: labels to predict.
        classes: number of classes.
    """
    counts = torch.bincount(counted, minlength=classes) + 1.0
    return -(counts / counts.sum()).log()[labels].mean().item()
