"""The shape of the tails of gradients at regular steps, for each kind of layer."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scaling.callbacks.optimizer_step import Step
from scaling.callbacks.recording import Recording
from scaling.contracts.limits import check_least
from scaling.gradients.norms import clip_coefficient
from scaling.gradients.tail_fits import SHARES
from scaling.gradients.tails import LEAST, LEAST_DRAWS, tail_shape
from scaling.seeds import generator_for

ALL = "all"  # the group of every tensor


class TailShape(Recording):
    """Record the tails of gradients in the table `tails`, below the trainer's `log_dir`.

    Every `every` steps, a window of `draws` consecutive optimizer steps is judged by
    `scaling.tail_shape` on two axes, for each group of tensors and for all of them:

    - `coordinates`: a random sample of coordinates at the first step of the window, as it is. It
      mixes the scales of rows, columns and layers, so heavy tails need not be those of any
      coordinate.
    - `time`: the same coordinates, fewer of them, over the steps of the window, each coordinate
      with its own mean and variance. Weights move meanwhile, and their drift adds to the tails.

    Gradients are accumulated, unscaled, and not yet clipped. If the trainer clips by norm, the
    window is judged a second time after clipping (column `clipped`), which bounds tails over time
    and leaves those over coordinates as they are. The coordinates are the same in all windows. A
    group with fewer than 100 values, or with values that are not finite, gets the verdict
    `not judged` and the reason; so does a window that ends early with fewer than 10 draws.

    Read-only: training is bit-identical with or without it.

    Args:
        every: optimizer steps from the start of a window to that of the next; the first step of a
            fit starts one.
        draws: optimizer steps of a window, from 10 to `every`.
        values: coordinates of a group at one step, and values of its table over a window; a
            smaller group has all of its coordinates.
        groups: name -> regular expression, searched for in the names of layers; the first that is
            found is the group. Other tensors are grouped by their kind: weight, bias, norm,
            embedding.
        flush_every: steps of a window between copies from the device.

    Raises:
        ValueError: at construction for a value out of range or a damaged expression; at the start
            of `fit` for several optimizers or devices; before a run with fewer steps than draws.
    """

    table = "tails"
    rows_per_part = 1_000
    cost = "tails_percent"

    def __init__(
        self, *, every: int, draws: int, values: int, groups: Mapping[str, str], flush_every: int
    ):
        super().__init__(every=every, flush_every=flush_every)
        check_least(LEAST_DRAWS, draws=draws)
        check_least(LEAST, values=values)
        if draws > every:
            raise ValueError(f"draws={draws} must be at most every={every}")
        self.draws, self.values = draws, values
        try:
            self.groups = {name: re.compile(pattern) for name, pattern in groups.items()}
        except re.error as error:
            raise ValueError(f"groups={dict(groups)} has a damaged expression: {error}") from error

    def check_steps(self, steps: int) -> None:
        """Refuse a run in which no window is complete.

        Raises:
            ValueError: for fewer optimizer steps than draws.
        """
        if steps >= self.draws:
            return
        remedy = (
            f"set draws={steps}, or train for {self.draws} steps"
            if steps >= LEAST_DRAWS
            else f"set draws={LEAST_DRAWS}, and train for {LEAST_DRAWS} steps"
        )
        raise ValueError(
            f"draws={self.draws} must be at most {steps}, the optimizer steps of the run, or no "
            f"window is complete; {remedy} or more"
        )

    def start(self, state: Mapping[str, Any]) -> None:
        self.scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.places: list[tuple[Tensor, Tensor]] = []  # coordinates of each tensor: many, few
        self.placed: tuple[int, ...] = ()  # ids of the tensors that they belong to
        self.members: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.began, self.epoch = state.get("began", 0), state.get("epoch", 0)  # of the window
        self.window: list[np.ndarray] = [*state.get("window", torch.empty(0)).numpy()]

    def due(self, step: int) -> bool:
        return step % self.every < self.draws

    def before(self, step: Step) -> None:
        """Take the sampled coordinates of every gradient."""
        if (identities := tuple(map(id, step.tensors))) != self.placed:
            if self.placed:  # else the window is a resumed one, of the same coordinates
                self._close_window()
            self._place(step, identities)
        first = step.number % self.every == 0
        parts = [
            gradient.reshape(-1)[many if first else few]
            for gradient, (many, few) in zip(step.gradients, self.places, strict=True)
        ]
        taken = torch.cat(parts).float()
        coefficient = clip_coefficient(torch.linalg.vector_norm(step.norms), self._clip())
        taken = taken if step.scale == 1 else taken / step.scale
        self.taken = torch.cat([coefficient.reshape(1), taken])

    def measure(self, step: Step) -> Mapping[str, Tensor]:
        return {"sample" if step.number % self.every == 0 else "draw": self.taken}

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        """Judge a sample of coordinates; keep the draws of a window until it is complete."""
        rows = []
        for kind, block in measured.items():
            for step, row in zip(steps, block, strict=True):
                if kind == "sample":
                    rows += self._judged_window()
                    self.began, self.epoch = step.number, step.epoch
                    rows += [
                        self._row(name, row[1:][many], "coordinates")
                        for name, (many, _) in self.members.items()
                    ]
                    row = np.append(row[0], row[1:][self.few])
                if self.scaler is None or np.isfinite(row).all():  # else the step was skipped
                    self.window.append(row)
                if len(self.window) == self.draws:
                    rows += self._judged_window()
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        self._close_window()
        super().on_fit_end(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the draws of the open window."""
        if self.recorder is None:
            return self.resumed
        counted = super().state_dict()  # flushes
        window = torch.from_numpy(np.array(self.window)) if self.window else torch.empty(0)
        return counted | {"began": self.began, "epoch": self.epoch, "window": window}

    def _close_window(self) -> None:
        """Judge the open window although it ended early, and append its rows."""
        self.flush()
        if (rows := self._judged_window()) and self.recorder is not None:
            self.recorder.extend({name: [row[name] for row in rows] for name in rows[0]})

    def _judged_window(self) -> list[dict[str, Any]]:
        """Rows of the draws of the open window, which is closed."""
        window, self.window = np.array(self.window), []
        if not len(window):
            return []
        coefficients, table = window[:, :1], window[:, 1:]
        rows = []
        for name, (_, few) in self.members.items():
            rows.append(self._row(name, table[:, few], "time"))
            if self._clip() < math.inf:
                after = coefficients * table[:, few]
                rows.append(self._row(name, after, "time") | {"clipped": True})
        return rows

    def _row(self, group: str, values: np.ndarray, axis: str) -> dict[str, Any]:
        about = {"step": self.began, "epoch": self.epoch, "axis": axis, "clipped": False}
        return {**about, "group": group, **judged(values, axis)}

    def _clip(self) -> float:
        """The largest gradient norm of the trainer; inf without clipping."""
        clip = self.trainer.gradient_clip_val
        by_norm = self.trainer.gradient_clip_algorithm in (None, "norm")
        return float(clip) if clip and by_norm else math.inf

    def _place(self, step: Step, identities: tuple[int, ...]) -> None:
        """Draw the coordinates of every group, the same in each run and fit."""
        groups: dict[str, list[int]] = {}
        for number, identity in enumerate(identities):
            groups.setdefault(self._group(identity), []).append(number)
        sizes = np.array([tensor.numel() for tensor in step.tensors])
        fewer = max(1, self.values // self.draws)
        counts = np.zeros((2, len(sizes)), dtype=int)  # many, few
        for numbers in groups.values():
            for row, most in zip(counts, (self.values, fewer), strict=True):
                row[numbers] = shared_out(sizes[numbers], most)
        self.places = []
        for number, (tensor, (many, few)) in enumerate(zip(step.tensors, counts.T, strict=True)):
            draws = generator_for("tails", number)
            drawn = torch.randperm(tensor.numel(), generator=draws)[:many].to(tensor.device)
            self.places.append((drawn, drawn[:few]))
        starts = np.cumsum(counts, axis=1) - counts
        self.few = np.concatenate(
            [np.arange(few) + begin for few, begin in zip(counts[1], starts[0], strict=True)]
        )
        equal = np.stack([shared_out(sizes, most) for most in (self.values, fewer)]).clip(
            max=counts
        )
        self.members = {ALL: _columns(starts, equal, range(len(sizes)))} | {
            name: _columns(starts, counts, numbers) for name, numbers in groups.items()
        }
        self.placed = identities

    def _group(self, identity: int) -> str:
        layer = self.layers[identity]
        matching = (name for name, pattern in self.groups.items() if pattern.search(layer.name))
        return next(matching, layer.kind)


def shared_out(sizes: np.ndarray, most: int) -> np.ndarray:
    """The number of coordinates to sample from each tensor, by size; at most `most` in all."""
    if sizes.sum() <= most:
        return sizes
    return np.diff(np.cumsum(sizes) * most // sizes.sum(), prepend=0)


def judged(values: np.ndarray, axis: str) -> dict[str, Any]:
    """The columns of a sample or table, with a reason in place of numbers if it is refused."""
    names = ("shape", "excess_kurtosis", "degrees", "preference")
    hills = [f"hill_{100 * share:g}" for share in SHARES]
    try:
        shape = tail_shape(values, axis=axis)
    except ValueError as error:
        count = {"values": values.size, "draws": len(values) if values.ndim > 1 else 0}
        refused = {"verdict": "not judged", "reason": str(error)}
        return refused | dict.fromkeys((*names, *hills), np.nan) | count | {"zeros": 0}
    return {
        "verdict": shape.verdict,
        "reason": shape.reason,
        **{name: getattr(shape, name) for name in names},
        **{name: hill.index for name, hill in zip(hills, shape.hill.values(), strict=True)},
        "values": shape.values,
        "draws": shape.draws,
        "zeros": shape.zeros,
    }


def _columns(
    starts: np.ndarray, counts: np.ndarray, numbers: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places of some tensors' coordinates in a sample, and in a draw."""
    many, few = (
        np.concatenate([np.arange(row[number]) + start[number] for number in numbers])
        for start, row in zip(starts, counts, strict=True)
    )
    return many, few
