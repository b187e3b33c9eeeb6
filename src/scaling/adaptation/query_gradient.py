"""The gradient norm on a whole query, which mini-batches estimate with noise and bias."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn


class QueryGradient(L.Callback):
    """Log `query_grad_norm`, the L2 norm of the gradient on the whole query taken as one batch.

    It is measured before the first pass, after each pass that `every` divides, after the last
    planned pass, and in the validation that ends a run; otherwise it is nan. It costs as much as an
    update on the whole query and changes nothing. Mini-batches have larger norms because they hold
    few windows, and their diversity is a different quantity: no formula corrects for both effects.

    The module must have `query_gradient_norm()` and `passes`.

    Args:
        every: passes between measurements.

    Raises:
        ValueError: if `every` is below 1.
    """

    def __init__(self, *, every: int):
        if every < 1:
            raise ValueError(f"every={every} must be at least 1 pass")
        self.every = every

    def on_validation_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        norm = math.nan
        last = trainer.state.fn != TrainerFn.FITTING or trainer.global_step == trainer.max_steps
        if last or module.passes % self.every == 0:
            norm = module.query_gradient_norm()
            for logger in trainer.loggers:
                logger.log_metrics({"query_grad_norm": norm}, step=trainer.global_step)
        module.log("query_grad_norm", norm, logger=False)
