"""Stop a run whose loss is not finite."""

from typing import Any

import lightning as L
import torch

from scaling.callbacks.optimizer_step import loss_of


class Divergence(L.Callback):
    """Stop training after a loss that is not finite; `step` is the first step with such a loss.

    The losses are copied from the device and checked every `every` steps, counted from the start of
    the run, so that a resumed run stops at the same step as an uninterrupted one.

    Args:
        every: optimizer steps between checks.
    """

    def __init__(self, *, every: int):
        if every < 1:
            raise ValueError(f"every={every} must be at least 1 step")
        self.every, self.taken = every, 0
        self.step: int | None = None
        self.pending: list[tuple[int, torch.Tensor]] = []  # steps, and the losses before them

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken, "pending": [(i, float(loss)) for i, loss in self.pending]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
        self.pending = [(i, torch.tensor(loss)) for i, loss in state["pending"]]

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (loss := loss_of(trainer, outputs)) is not None:
            self.pending.append((self.taken, loss))
        if trainer.global_step != self.taken:  # micro-batches that do not step end here too
            self.taken = trainer.global_step
            if self.taken % self.every == 0:
                self._look(trainer)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._look(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        if self.pending and self.step is None:
            steps, losses = zip(*self.pending, strict=True)
            device = losses[-1].device
            values = torch.stack([loss.to(device) for loss in losses])
            strange = (~values.isfinite()).nonzero().flatten().tolist()
            if strange:
                self.step = steps[strange[0]]
                trainer.should_stop = True
        self.pending.clear()

    def columns(self) -> dict[str, int]:
        """The first step whose loss was not finite, if there was one."""
        return {} if self.step is None else {"diverged_step": self.step}
