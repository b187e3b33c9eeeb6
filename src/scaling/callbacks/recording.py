"""Base class of callbacks that record a statistic of optimizer steps in a table of the run."""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scaling.callbacks.optimizer_step import Step, begin
from scaling.callbacks.parameter_tensors import layers
from scaling.contracts.limits import check_least
from scaling.storage.tables import Recorder

OTHERS = ("epochs", "windows", "rounds")  # tables of a run that are not recordings

Layout = tuple[dict[str, int], tuple[int, ...]]  # name -> count of numbers; ids of the tensors


class Recording(L.Callback, ABC):
    """Record a statistic of optimizer steps in a table below the trainer's `log_dir`.

    A subclass names its table and defines `measure`. This one records the mean of every gradient:

        class GradientMeans(Recording):
            table = "gradient_means"

            def before(self, step):  # the gradient is gone once the step is taken
                self.mean, _ = step.spread

            def measure(self, step):
                return {"mean": self.mean}

    `scaling.table("gradient_means", "multirun/STUDY")` reads it. The base class measures each step
    once for all callbacks, and copies the numbers from the device every `flush_every` steps. It
    writes the table in parts, continues it when a run resumes, and measures its own cost.

    Read-only: training is bit-identical with or without it.

    Args:
        flush_every: measured steps between copies from the device.
        every: optimizer steps between two measured ones; the first step is one of them.

    Raises:
        ValueError: at construction for `every` or `flush_every` below 1, or without a table; at the
            start of `fit` for several optimizers or devices, or a table that another callback
            writes; during training for a number with the name of a column of every table.
    """

    table: ClassVar[str]  # of the run's folder
    per_tensor: ClassVar[bool] = True  # a row for each tensor of a step; else one for the step
    rows_per_part: ClassVar[int] = 100_000
    cost: ClassVar[str] = ""  # the column of `columns`; the table's name and _percent by default

    def __init__(self, *, flush_every: int, every: int = 1):
        check_least(1, every=every, flush_every=flush_every)
        if not getattr(self, "table", ""):
            raise ValueError(f"{type(self).__name__} has no `table`, the name of what it records")
        self.every, self.flush_every = every, flush_every
        self.recorder: Recorder | None = None  # from the start of `fit`
        self.resumed: dict[str, Any] = {}
        self.step: Step | None = None  # that has begun

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin a fit, with the state of `state_dict` from its checkpoint; empty for a new fit."""

    def due(self, step: int) -> bool:
        """Whether an optimizer step is measured: every `every` of them, unless overridden."""
        return step % self.every == 0

    def before(self, step: Step) -> None:
        """Measure the gradient before its step is taken."""

    @abstractmethod
    def measure(self, step: Step) -> Mapping[str, Tensor]:
        """Return the numbers of a step just taken, on any device.

        Returns:
            name -> a scalar, or a number for each of `step.tensors`.
        """

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        """Turn measured numbers into rows of the table.

        Args:
            measured: name -> numbers from `measure`, of shape (steps, numbers).
            steps: the steps; they all change the same tensors.

        Returns:
            column -> values; no column if there is nothing to append yet.
        """
        block = [self.layers[id(tensor)] for tensor in steps[0].tensors] if self.per_tensor else []
        each = len(block) or 1
        columns: dict[str, ArrayLike] = {
            "step": np.repeat([step.number for step in steps], each),
            "epoch": np.repeat([step.epoch for step in steps], each),
        }
        if block:
            names, kinds, sizes = zip(*block, strict=True)
            columns["layer"] = np.array(names * len(steps), dtype=object)
            columns["kind"] = np.array(kinds * len(steps), dtype=object)
            columns["size"] = np.array(sizes * len(steps))
        if taken := columns.keys() & measured.keys():
            raise ValueError(f"{type(self).__name__} measures {min(taken)}; rename that number")
        return columns | {
            name: np.broadcast_to(values, (len(steps), each)).ravel()
            for name, values in measured.items()
        }

    def check(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Refuse a fit that could be measured only in part.

        Raises:
            ValueError: for several optimizers or devices.
        """
        if len(trainer.optimizers) != 1 or trainer.world_size != 1:
            raise ValueError(
                f"{type(self).__name__} needs one optimizer and one device, but there are "
                f"{len(trainer.optimizers)} and {trainer.world_size}; drop the callback"
            )

    def columns(self) -> dict[str, float]:
        """This callback's columns of the row: its share of the training time, in percent."""
        if self.recorder is None:
            return {}
        return {self.cost or f"{self.table}_percent": 100 * self.seconds / self.lasted}

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.check(trainer, module)
        self._check_table(trainer)
        self.trainer, self.module, self.layers = trainer, module, layers(module)
        self.recorder = Recorder(
            Path(trainer.log_dir or ".", self.table),
            rows_per_part=self.rows_per_part,
            keep=int(self.resumed.get("rows", 0)),
        )
        self.pending: list[Tensor] = []  # numbers of each measured step
        self.steps: list[Step] = []  # of these numbers
        self.layout: Layout = ({}, ())
        self.step = None
        self.seconds = self.resumed.get("seconds", 0.0)
        self.started = time.perf_counter() - self.resumed.get("lasted", 0.0)
        self.start(self.resumed)
        self.resumed = {}  # the next fit is another one

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if not self.due(trainer.global_step):
            return
        with self._timed(), torch.no_grad():
            self.step = begin(trainer, optimizer)
            if self.step is not None:
                self.before(self.step)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.step is None:  # micro-batches that do not step end here too
            return
        with self._timed(), torch.no_grad():
            numbers = {name: x.reshape(-1) for name, x in self.measure(self.step).items()}
            lengths = {name: len(x) for name, x in numbers.items()}
            layout = (lengths, tuple(map(id, self.step.tensors)))
            if layout != self.layout:
                self.flush()
                self.layout = layout
            self.pending.append(torch.cat(list(numbers.values())))
            self.steps.append(self.step)
            self.step = None
            if len(self.pending) >= self.flush_every:
                self.flush()

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, after writing the rows that it counts to disk."""
        if self.recorder is None:
            return self.resumed
        self._close()
        return {"rows": self.recorder.rows, "seconds": self.seconds, "lasted": self.lasted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state

    def flush(self) -> None:
        """Copy the pending numbers from the device and append their rows to the table."""
        if not self.pending or self.recorder is None:
            return
        numbers = torch.stack(self.pending).cpu().numpy()
        lengths, steps = self.layout[0], self.steps
        self.pending, self.steps = [], []
        parts = np.split(numbers, np.cumsum(list(lengths.values()))[:-1], axis=1)
        if rows := self.rows(dict(zip(lengths, parts, strict=True)), steps):
            self.recorder.extend(rows)

    def _close(self) -> None:
        if self.recorder is not None:
            self.lasted = time.perf_counter() - self.started
            self.flush()
            self.recorder.flush()

    def _check_table(self, trainer: L.Trainer) -> None:
        """Refuse a table that another callback also writes."""
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        same = [c for c in callbacks if isinstance(c, Recording) and c.table == self.table]
        if len(same) > 1 or self.table in OTHERS:
            raise ValueError(
                f"the table {self.table} of {type(self).__name__} has another writer; rename it"
            )

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Add the time of a block to the cost of this callback."""
        entered = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - entered
