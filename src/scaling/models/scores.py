"""What an evaluation says of a set of examples, from the outcome of each."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy


def loss_scores(losses: Float[Tensor, " examples"]) -> dict[str, Tensor]:
    """The mean over examples and its standard error, in nats; one example has no error."""
    scores = {"loss": losses.mean()}
    if len(losses) > 1:
        scores["loss_se"] = losses.std() / len(losses) ** 0.5
    return scores


def accuracy_scores(
    logits: Float[Tensor, "examples classes"],
    labels: Integer[Tensor, " examples"],
    truth: Integer[Tensor, " examples"],
) -> dict[str, Tensor]:
    """Shares of examples, 0 to 1, for which a class has the largest logit.

    `accuracy` is that of the given labels. Where some of these are corrupted, `accuracy_clean` is
    that over the others; over the corrupted ones, `accuracy_corrupted` counts the wrong label that
    was given, which only memory can know, and `accuracy_true` the true one.

    Args:
        logits: of each class.
        labels: as given.
        truth: labels before any was corrupted.
    """

    def share(among: Tensor, wanted: Tensor) -> Tensor:
        return multiclass_accuracy(
            logits[among], wanted[among], num_classes=logits.shape[1], average="micro"
        )

    corrupted = labels != truth
    scores = {"accuracy": share(torch.ones_like(corrupted), labels)}
    if corrupted.any():
        scores["accuracy_corrupted"] = share(corrupted, labels)
        scores["accuracy_true"] = share(corrupted, truth)
        if not corrupted.all():
            scores["accuracy_clean"] = share(~corrupted, labels)
    return scores
