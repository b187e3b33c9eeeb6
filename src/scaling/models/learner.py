"""What a step of training is, and nothing else."""

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
from scaling.models.scores import accuracy_scores, loss_scores
from scaling.optim.parameter_groups import optimization
from scaling.seeds import reseed, seed_for


class Learner(L.LightningModule):
    """Minimise the mean of a network's losses.

    Clipping belongs to the trainer and statistics to the callbacks, so that a new network never
    needs to repeat them. The random state of each batch (dropout) follows from its index alone:
    runs that differ in learning rate or clipping draw the same, and so does a resumed one.

    Args:
        net: must be a `Net`; a `Classifier` is scored by its accuracy, too.
        optimizer: builds the optimizer; its hyperparameters are already bound. Weight decay is
            turned off for vectors (biases and norms), as in GPT-2 and its successors.
        schedule: builds the learning rate's schedule, advanced after every optimizer step.
        seed: of the run.

    Raises:
        ValueError: for a network without losses.
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
        """One loss per example, where training, validation and every statistic start."""
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
        """Log the scores of each split, under its name: `val_loss`, `test_accuracy`.

        A single loader is the split `val`; a mapping of them names its own. Training examples have
        no loss here, because `train_loss` is that of the steps.
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
