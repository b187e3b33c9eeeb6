"""What classifiers of windows share: they pool features over time and end in a linear head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

NORMALISATIONS = ("group", "layer", "batch", "none")


class SequenceClassifier(nn.Module, ABC):
    """Classify windows, each a number of time steps with the same features.

    Features are embedded step by step; layers, of which a network has `layer`, follow one another;
    the mean of the last one over time goes through dropout into `head`.

    Args:
        inputs: features per time step.
        outputs: classes.
        length: time steps per window, at least 2.
        width: features of each layer.
        layers: number of layers, at least 1.
        normalisation: in every layer; see `normalised`.
        groups: of features, for `normalisation=group`.
        dropout: share of features that are set to zero while training, in every layer and before
            the head, in [0, 1).

    Raises:
        ValueError: naming the key whose value has no meaning.
    """

    name: ClassVar[str]  # of the model, for messages

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        length: int,
        width: int,
        layers: int,
        normalisation: str,
        groups: int,
        dropout: float,
    ):
        super().__init__()
        self.inputs = inputs
        if length < 2:
            raise ValueError(
                f"model={self.name} takes windows of several time steps, not single vectors; "
                "choose data of windows, such as data=flows"
            )
        for key, value in {"width": width, "layers": layers, "groups": groups}.items():
            if value < 1:
                raise ValueError(f"{key}={value} must be at least 1")
        if normalisation not in NORMALISATIONS:
            known = ", ".join(NORMALISATIONS)
            raise ValueError(f"normalisation={normalisation} must be one of {known}")
        if normalisation == "group" and (width % groups or width == groups):
            raise ValueError(f"groups={groups} must divide width={width} into groups of at least 2")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must lie in [0, 1); 0 turns it off")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        self.embedding = nn.Conv1d(inputs, width, 1)
        self.blocks = nn.Sequential(
            *(
                self.layer(i, width, normalised(normalisation, width, groups), nn.Dropout(dropout))
                for i in range(layers)
            )
        )

    @abstractmethod
    def layer(self, number: int, width: int, norm: nn.Module, dropout: nn.Module) -> nn.Module:
        """A layer, from 0; it keeps the shape (batch, width, length), and owns what it is given."""

    def features(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch width length"]:
        """The last layer's output, of each time step."""
        return self.blocks(self.embedding(windows.transpose(1, 2)))

    def forward(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch classes"]:
        """The logit of each class."""
        return self.head(self.dropout(self.features(windows).mean(dim=2)))

    def logits(self, windows: Tensor) -> Float[Tensor, "batch classes"]:
        """The logit of each class, where there may be no labels.

        Raises:
            ValueError: if these are no windows of this many features.
        """
        if not windows.is_floating_point():
            raise ValueError(
                f"model={self.name} takes windows of measurements, not tokens; choose data of "
                "windows, such as data=flows"
            )
        if windows.ndim != 3 or windows.shape[2] != self.inputs:
            raise ValueError(
                f"windows of shape {tuple(windows.shape)} must be (examples, time steps, "
                f"{self.inputs}): the model was made for {self.inputs} features"
            )
        return self(windows)

    def losses(self, batch: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """Cross-entropy of each window, in nats."""
        return self.losses_and_logits(batch)[0]

    def losses_and_logits(
        self, batch: Sequence[Tensor]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        """Both of each window, from one forward pass."""
        windows, labels, *_ = batch
        logits = self.logits(windows)
        return F.cross_entropy(logits, labels, reduction="none"), logits


class StepNorm(nn.LayerNorm):
    """Layer normalisation of each time step over its features, which come first here."""

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def normalised(kind: str, width: int, groups: int) -> nn.Module:
    """A normalisation of features, each then scaled and shifted by learned weights.

    Args:
        kind: `group` over time and each of `groups` groups of features of one window (Wu and He,
            arXiv:1803.08494), `layer` over the features of one time step (Ba et al.,
            arXiv:1607.06450), `batch` over time and the windows of a batch (Ioffe and Szegedy,
            arXiv:1502.03167), `none`. Only `batch` lets windows of a batch influence each other;
            evaluated, it takes the running mean and variance of its training, of which a batch is
            a tenth (torch's momentum of 0.1).
        width: number of features.
        groups: number of groups of features.
    """
    if kind == "group":
        return nn.GroupNorm(groups, width)
    if kind == "layer":
        return StepNorm(width)
    return nn.BatchNorm1d(width) if kind == "batch" else nn.Identity()
