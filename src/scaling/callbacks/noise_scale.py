"""The gradient noise scale of a run, from probes at regular steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from numpy.typing import ArrayLike
from torch import Tensor, nn

from scaling.callbacks.optimizer_step import Step
from scaling.callbacks.probe_sources import (
    Passes,
    from_accumulation,
    from_examples,
    from_parts,
    squares,
)
from scaling.callbacks.recording import Recording
from scaling.gradients.noise_scale import LAST, noise_scale
from scaling.gradients.norms import total_norm
from scaling.gradients.parameter_uses import ParameterUses
from scaling.gradients.per_example import examples_of


class NoiseScale(Recording):
    """Record probes of the gradient noise scale in the table `probes`.

    A probe is a row for each parameter tensor: the mean squared norm of gradients of small batches,
    that of the big batch, and the sizes of both (see `scaling.noise_scale`, which reads the table).
    Gradients are those before clipping, unscaled, and each that of a mean loss. Column `source`
    says where they come from; the first possible of these is used:

    - `accumulation`: the micro-batches of a step that accumulates gradients. It costs a copy of the
      gradient and a few norms.
    - `per example`: each example of the batch, seen by hooks in the ordinary forward and backward
      pass of the step (`scaling.gradients.parameter_uses`). It costs about a third of a step.
    - `parts`: an extra pass over up to 8 parts of the batch by the module's `losses(batch)`, which
      returns one loss per example; random state and buffers are restored. It costs a step.

    The row gets `noise_scale`, `noise_scale_low` and `noise_scale_high` of the last 70 % of the
    probes if it is identified, or only the lower bound. `noise_scale_probes` is their number, if
    they are finite. With batch normalisation there is no gradient of an example; the noise is then
    that of batches of the small size.

    Read-only: training is bit-identical with or without it. Probes whose gradients a scaler found
    to overflow are left out.

    Args:
        every: optimizer steps between two probes; the first step is one of them.
        flush_every: probes between copies from the device.
        unit: what the first dimension of a batch counts, such as examples or sequences.

    Raises:
        ValueError: at construction for `every` or `flush_every` below 1; at the start of `fit` for
            several optimizers or devices, or sparse gradients; at the first step for a batch of
            one example, or a network for which none of the three is possible.
    """

    table = "probes"
    cost = "noise_scale_percent"

    def __init__(self, *, every: int, flush_every: int = 10, unit: str = "examples"):
        super().__init__(every=every, flush_every=flush_every)
        self.unit = unit
        self.passes: Passes | None = None  # of the present step, if it is probed
        self.watching: ParameterUses | None = None  # the present forward pass

    def check(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        super().check(trainer, module)
        for name, part in module.named_modules():
            if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse:
                raise ValueError(f"NoiseScale needs dense gradients; set sparse=False in {name}")

    def start(self, state: Mapping[str, Any]) -> None:
        compiled = any(hasattr(part, "_orig_mod") for part in self.module.modules())
        self.hooked = False if compiled else None  # whether hooks see all parameters, once known
        self.unseen = "does not see a compiled module" if compiled else ""  # why not
        self.sources: list[str] = []  # of the pending probes
        self.passes, self.probed = None, False

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._leave()
        step = trainer.global_step
        if step % self.every:
            self.passes = None
            return
        with self._timed():
            if self.passes is None or self.passes.number != step:
                self.passes = Passes(step)
            size = examples_of(batch)
            self.passes.batch = batch
            self.passes.sizes.append(size)
            if self.hooked is not False and trainer.accumulate_grad_batches == 1:
                self.passes.uses = self.watching = ParameterUses(self._trained(), examples=size)
                self.watching.__enter__()

    def on_before_backward(
        self, trainer: L.Trainer, module: L.LightningModule, loss: Tensor
    ) -> None:
        self._leave()

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.passes is None:
            return
        with self._timed(), torch.no_grad():
            passes = self.passes
            passes.scale = _scale(trainer)
            gradients = {id(p): p.grad for p in self._trained() if p.grad is not None}
            earlier = passes.earlier
            added = {k: g - earlier[k] if k in earlier else g for k, g in gradients.items()}
            passes.micro.append(squares(added, passes.scale))
            passes.whole = squares(gradients, passes.scale) if earlier else passes.micro[0]
            if self.hooked is None and passes.uses is not None and len(passes.micro) == 1:
                self._check_hooks(passes.uses, gradients)
            if trainer.accumulate_grad_batches > 1 or not module.automatic_optimization:
                passes.earlier = {key: gradient.clone() for key, gradient in gradients.items()}

    def before(self, step: Step) -> None:
        """Take the probe of a step from what was seen in its passes."""
        self._leave()
        assert self.passes is not None
        passes, self.passes = self.passes, None
        count, size = len(passes.micro), passes.sizes[0]
        if count > 1 and len(passes.sizes) in (1, count):
            automatic = self.module.automatic_optimization  # Lightning divides each loss
            divided = self.trainer.accumulate_grad_batches if automatic else count
            self.probe = from_accumulation(step, passes, divided=divided)
        elif count > 1 or self.trainer.accumulate_grad_batches > 1:
            self.step = None  # a micro-batch without a loss, or an incomplete group of one
        elif size < 2 and self.probed:
            self.step = None  # a last, incomplete batch
        elif size < 2:
            raise ValueError(
                "NoiseScale needs 2 examples in a batch, but this one has 1; accumulate gradients, "
                "or drop the callback"
            )
        elif self.hooked is None:
            self.step = None  # the gradient is not finite
        elif self.hooked and passes.uses is not None:
            self.probe = from_examples(step, passes, passes.uses)
        elif callable(getattr(self.module, "losses", None)):
            self.probe = from_parts(step, passes, self.trainer, self.module)
        else:
            raise ValueError(
                f"NoiseScale {self.unseen}; accumulate gradients, or give "
                f"{type(self.module).__name__} a method losses(batch) with one loss per example"
            )
        self.probed = True

    def measure(self, step: Step) -> Mapping[str, Tensor]:
        probe = self.probe
        self.sources.append(probe.source)
        return {
            "small_batch": step.norms.new_tensor(probe.small_batch),
            "big_batch": step.norms.new_tensor(probe.big_batch),
            "small_norm_squared": probe.small_norms,
            "big_norm_squared": probe.big_norms,
        }

    def rows(
        self, measured: Mapping[str, np.ndarray], steps: Sequence[Step]
    ) -> Mapping[str, ArrayLike]:
        table = pd.DataFrame(dict(super().rows(measured, steps)))
        sources, self.sources = self.sources[: len(steps)], self.sources[len(steps) :]
        table["source"] = np.repeat(sources, len(table) // len(steps))
        table["unit"] = self.unit
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            finite = np.isfinite(table["small_norm_squared"] + table["big_norm_squared"])
            table = table[~table["step"].isin(table["step"][~finite])]  # the scaler skipped these
        return {str(name): table[name].to_numpy() for name in table} if len(table) else {}

    def columns(self) -> dict[str, float]:
        """This callback's columns of the row: the noise scale with its interval, and its cost."""
        columns = super().columns()
        if self.recorder is None:
            return columns
        if not self.recorder.rows:
            return columns | {"noise_scale_probes": 0.0}
        table = pd.DataFrame(self.recorder.columns)
        steps = table["step"].unique()
        first = steps[len(steps) - max(1, round(LAST * len(steps)))]
        estimate = noise_scale(table[table["step"] >= first])
        if math.isfinite(estimate.noise):
            columns["noise_scale_probes"] = float(estimate.probes)
        if estimate.identified:
            columns |= {"noise_scale": estimate.value, "noise_scale_high": estimate.high}
        if estimate.low > 0:
            columns["noise_scale_low"] = estimate.low
        return columns

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._leave()
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)

    def on_exception(self, trainer: L.Trainer, module: Any, exception: BaseException) -> None:
        self._leave()
        super().on_exception(trainer, module, exception)

    def _leave(self) -> None:
        """Stop watching operations."""
        if self.watching is not None:
            self.watching.__exit__(None, None, None)
            self.watching = None

    def _trained(self) -> list[Tensor]:
        """Parameters of the optimizer that are not frozen."""
        groups = self.trainer.optimizers[0].param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    def _check_hooks(self, uses: ParameterUses, gradients: Mapping[int, Tensor]) -> None:
        """Learn whether hooks see everything that adds to the gradients."""
        if not torch.isfinite(total_norm(list(gradients.values()))):
            return  # an overflow, which explains nothing
        seen = uses.contributions
        known = [gradients.get(id(p), torch.zeros_like(p)) for p in seen.parameters]
        names = [self.layers[id(seen.parameters[i])].name for i in seen.left_out(known)]
        self.unseen = f"does not see {', '.join(names)} in single examples" if names else ""
        if seen.mixed:
            self.unseen = "finds no gradients of single examples under batch normalisation"
        self.hooked = not self.unseen


def _scale(trainer: L.Trainer) -> float:
    """The factor by which a gradient scaler multiplied the loss, else 1."""
    plugin = trainer.precision_plugin
    if isinstance(plugin, MixedPrecision) and plugin.scaler is not None:
        return plugin.scaler.get_scale()
    return 1.0
