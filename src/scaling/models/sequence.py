"""Base class of window classifiers, which pool features over time and end in a linear head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scaling.contracts.limits import check_choice, check_least

NORMALISATIONS = ("group", "layer", "batch", "none")


class SequenceClassifier(nn.Module, ABC):
    """Classify windows, each a number of time steps with the same features.

    Features are embedded step by step and pass through the layers, which a subclass defines in
    `layer`. The last layer's mean over time goes through dropout into `head`.

    Args:
        inputs: features per time step.
        outputs: classes.
        length: time steps per window, at least 2.
        width: features of each layer.
        layers: number of layers, at least 1.
        normalisation: normalisation of every layer; see `normalised`.
        groups: groups of features, for `normalisation=group`.
        dropout: share of features set to zero in training, in every layer and before the head, in
            [0, 1).

    Raises:
        ValueError: for a value out of range, naming its key.
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
        check_least(1, width=width, layers=layers, groups=groups)
        check_choice(NORMALISATIONS, normalisation=normalisation)
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
        """Build layer `number`, from 0, with its `norm` and `dropout`; it keeps the shape."""

    def features(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch width length"]:
        """The last layer's output at each time step."""
        return self.blocks(self.embedding(windows.transpose(1, 2)))

    def forward(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch classes"]:
        """The logit of each class."""
        return self.head(self.dropout(self.features(windows).mean(dim=2)))

    def logits(self, windows: Tensor) -> Float[Tensor, "batch classes"]:
        """The logit of each class, for windows that may have no labels.

        Raises:
            ValueError: if the input is not windows with this number of features.
        """
        if not windows.is_floating_point():
            raise ValueError(
                f"model={self.name} takes windows of measurements, not tokens; choose data of "
                "windows, such as data=flows"
            )
        if windows.ndim != 3 or windows.shape[2] != self.inputs:
            raise ValueError(
                f"windows of shape {tuple(windows.shape)} must be (examples, time steps, "
                f"{self.inputs}): the model has {self.inputs} input features"
            )
        return self(windows)

    def losses(self, batch: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """Cross-entropy of each window, in nats."""
        return self.losses_and_logits(batch)[0]

    def losses_and_logits(
        self, batch: Sequence[Tensor]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        """Loss and logits of each window, from one forward pass."""
        windows, labels, *_ = batch
        logits = self.logits(windows)
        return F.cross_entropy(logits, labels, reduction="none"), logits


class StepNorm(nn.LayerNorm):
    """Layer normalisation over the features of each time step, in (batch, width, length)."""

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def normalised(kind: str, width: int, groups: int) -> nn.Module:
    """A normalisation of features with a learned scale and shift.

    Args:
        kind: `group` over time and each of `groups` groups of features of one window (Wu and He,
            arXiv:1803.08494), `layer` over the features of one time step (Ba et al.,
            arXiv:1607.06450), `batch` over time and the windows of a batch (Ioffe and Szegedy,
            arXiv:1502.03167), `none`. With `batch` the windows of a batch influence each other, and
            evaluation uses running means and variances (torch's momentum of 0.1).
        width: number of features.
        groups: number of groups of features.
    """
    if kind == "group":
        return nn.GroupNorm(groups, width)
    if kind == "layer":
        return StepNorm(width)
    return nn.BatchNorm1d(width) if kind == "batch" else nn.Identity()
