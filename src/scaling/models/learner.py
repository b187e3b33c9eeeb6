"""The Lightning module that trains a network."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from scaling.contracts.net import Classifier, Net
from scaling.contracts.protocols import howto, name_of, required
from scaling.contracts.scores import accuracy_scores, loss_scores
from scaling.optim.parameter_groups import optimization
from scaling.seeds import reseed, seed_for


class Learner(L.LightningModule):
    """Minimise the mean of a network's losses.

    The trainer clips and callbacks record statistics, so a network needs neither. The random state
    of each batch (dropout) is determined by the seed and the batch's index: runs that differ only
    in learning rate or clipping draw the same numbers, and so does a resumed run.

    Args:
        net: must be a `Net`; a `Classifier` is scored by accuracy, too: its batches are inputs,
            labels, and the true labels if labels may be corrupted.
        optimizer: builds the optimizer, its hyperparameters already bound. Weight decay is off for
            vectors (biases and norms), as in GPT-2.
        schedule: builds the learning-rate schedule, which advances after every optimizer step.
        seed: seed of the run.

    Raises:
        ValueError: for a network without `losses`.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
        seed: int,
    ):
        super().__init__()
        self.net: Net = required(net, Net, "model")
        self.optimizer, self.schedule, self.seed = optimizer, schedule, seed
        self.validated: dict[int, list[tuple[Tensor, ...]]] = {}  # by loader

    def losses(self, batch: Any) -> Float[Tensor, " batch"]:
        """One loss per example, for training, validation and all statistics."""
        losses = self.net.losses(batch)
        if losses.ndim != 1:
            raise ValueError(
                f"{name_of(self.net)}.losses(batch) must return one loss per example, not a tensor "
                f"of shape {tuple(losses.shape)}{howto('model')}"
            )
        return losses

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        reseed(seed_for("step", self.seed, self.current_epoch, batch_idx), self.device)

    def training_step(self, batch: Any, batch_idx: int) -> Float[Tensor, ""]:
        return self.losses(batch).mean()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        outcome: tuple[Tensor, ...]
        if isinstance(self.net, Classifier):  # one forward pass for both
            outcome = (*self.net.losses_and_logits(batch), batch[1], batch[-1])
        else:
            outcome = (self.losses(batch),)
        self.validated.setdefault(dataloader_idx, []).append(outcome)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of each split under its name: `val_loss`, `test_accuracy`.

        A single loader is the split `val`; a mapping of loaders names its splits. The split `train`
        logs no loss, because `train_loss` is that of the steps.
        """
        loaders = self.trainer.val_dataloaders
        splits = list(loaders) if isinstance(loaders, Mapping) else ["val"]
        for i, batches in self.validated.items():
            losses, *rest = (torch.cat(part) for part in zip(*batches, strict=True))
            scores = loss_scores(losses) if splits[i] != "train" else {}
            scores |= accuracy_scores(*rest) if rest else {}
            self.log_dict({f"{splits[i]}_{name}": score for name, score in scores.items()})
        self.validated.clear()

    def configure_optimizers(self) -> Any:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return optimization(trained, self.optimizer, self.schedule)
