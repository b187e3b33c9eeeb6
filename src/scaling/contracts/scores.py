"""Scores of a set of examples."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score


def loss_scores(losses: Float[Tensor, " examples"]) -> dict[str, Tensor]:
    """Mean over examples, `loss`, and its standard error, `loss_se`, missing for one example."""
    scores = {"loss": losses.mean()}
    if len(losses) > 1:
        scores["loss_se"] = losses.std() / len(losses) ** 0.5
    return scores


def accuracy_scores(
    logits: Float[Tensor, "examples classes"],
    labels: Integer[Tensor, " examples"],
    truth: Integer[Tensor, " examples"],
) -> dict[str, Tensor]:
    """Share of examples, 0 to 1, whose label has the largest logit.

    - `accuracy`: of all examples, by their given labels.
    - `accuracy_clean`: of those whose label is not corrupted.
    - `accuracy_corrupted`: of the corrupted ones, by the wrong label, which a model can only have
      memorised.
    - `accuracy_true`: of the corrupted ones, by the true label.

    The last three are missing if no label is corrupted.

    Args:
        logits: of each class.
        labels: as given.
        truth: labels before any was corrupted.
    """

    def share(among: Tensor, targets: Tensor) -> Tensor:
        return multiclass_accuracy(
            logits[among], targets[among], num_classes=logits.shape[1], average="micro"
        )

    corrupted = labels != truth
    scores = {"accuracy": share(torch.ones_like(corrupted), labels)}
    if corrupted.any():
        scores["accuracy_corrupted"] = share(corrupted, labels)
        scores["accuracy_true"] = share(corrupted, truth)
        if not corrupted.all():
            scores["accuracy_clean"] = share(~corrupted, labels)
    return scores


def window_scores(
    logits: Float[Tensor, "predicted classes"], labels: Integer[Tensor, " n"]
) -> dict[str, float]:
    """Scores of logits against labels.

    - `loss`: mean negative log-likelihood in nats, and its standard error `loss_se`.
    - `accuracy`: share of windows whose label has the largest logit.
    - `f1`: mean of the classes' F1 scores, over those that occur in labels or predictions.
    - `mcc`: Matthews correlation coefficient of K classes (Gorodkin 2004), -1 to 1; 0 if all labels
      or all predictions are the same.

    Raises:
        ValueError: if the numbers of logits and labels differ.
    """
    if len(logits) != len(labels):
        raise ValueError(f"{len(logits)} windows have logits and {len(labels)} have labels")
    classes = logits.shape[1]
    scores = loss_scores(F.cross_entropy(logits, labels, reduction="none")) | {
        "accuracy": multiclass_accuracy(logits, labels, classes, average="micro"),
        "f1": multiclass_f1_score(logits, labels, classes, average="macro"),
    }
    mcc = _mcc(labels.cpu(), logits.argmax(dim=1).cpu())
    return {name: score.item() for name, score in scores.items()} | {"mcc": mcc}


def _mcc(labels: Integer[Tensor, " n"], predicted: Integer[Tensor, " n"]) -> float:
    """MCC by scikit-learn; that of torchmetrics is not 0 for a constant prediction."""
    from sklearn.metrics import matthews_corrcoef  # imported here: it takes a second

    if len(torch.cat([labels, predicted]).unique()) == 1:  # scikit-learn warns about a single class
        return 0.0
    return float(matthews_corrcoef(labels, predicted))
