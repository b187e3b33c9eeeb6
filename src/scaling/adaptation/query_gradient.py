"""The gradient of a whole query, which its mini-batches only estimate."""

import math

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn


class QueryGradient(L.Callback):
    """Log `query_grad_norm`, the L2 norm of the gradient on all windows taken as one batch.

    It is measured before the first pass, after each pass that `every` divides, after the last one
    that is planned, and in the validation that ends a run; elsewhere it is nan. Norms of
    mini-batches are larger, for they hold the noise of drawing few windows, and the diversity of a
    small batch is another quantity; no formula takes both out. It costs as much as an update on the
    whole query and moves nothing.

    The module offers `gradient_norm(windows)` and `passes`, the datamodule `query`.

    Args:
        every: passes between measurements.
    """

    def __init__(self, *, every: int):
        if every < 1:
            raise ValueError(f"every={every} must be at least 1 pass")
        self.every = every

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        found = math.nan
        last = trainer.state.fn != TrainerFn.FITTING or trainer.global_step == trainer.max_steps
        if last or module.passes % self.every == 0:  # type: ignore[operator]
            found = module.gradient_norm(trainer.datamodule.query)  # type: ignore
            for logger in trainer.loggers:
                logger.log_metrics({"query_grad_norm": found}, step=trainer.global_step)
        module.log("query_grad_norm", found, logger=False)
