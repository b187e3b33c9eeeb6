"""What the logits of windows are worth."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)


def window_scores(
    logits: Float[Tensor, "predicted classes"], labels: Integer[Tensor, " n"]
) -> dict[str, float]:
    """How well logits predict labels.

    - `loss`: mean negative log-likelihood in nats; `loss_se`: its standard error over windows,
      missing for a single one.
    - `accuracy`: share of windows whose label has the largest logit.
    - `f1`: mean of the classes' F1 scores, over those that occur in labels or predictions.
    - `mcc`: Matthews correlation coefficient of K classes (Gorodkin 2004), -1 to 1; 0 for a
      prediction, or a label, that is always the same.

    Raises:
        ValueError: if there are not as many logits as labels.
    """
    if len(logits) != len(labels):
        raise ValueError(f"{len(logits)} windows have logits and {len(labels)} have labels")
    classes = logits.shape[1]
    losses = F.cross_entropy(logits, labels, reduction="none")
    scores = {
        "loss": losses.mean(),
        "accuracy": multiclass_accuracy(logits, labels, classes, average="micro"),
        "f1": multiclass_f1_score(logits, labels, classes, average="macro"),
        "mcc": _mcc(multiclass_confusion_matrix(logits, labels, classes)),
    }
    if len(losses) > 1:
        scores["loss_se"] = losses.std() / len(losses) ** 0.5
    return {name: score.item() for name, score in scores.items()}


def _mcc(confusion: Integer[Tensor, "classes classes"]) -> Float[Tensor, ""]:
    """Covariance of labels and predictions over the root of their variances.

    Torchmetrics gives other values than 0 for two classes of which one is always predicted.
    """
    table = confusion.double()
    many, right = table.sum(), table.diagonal().sum()
    true, predicted = table.sum(dim=1), table.sum(dim=0)
    variances = (many**2 - true.square().sum()) * (many**2 - predicted.square().sum())
    covariance = many * right - true @ predicted
    return covariance / variances.sqrt() if variances else torch.zeros_like(many)
