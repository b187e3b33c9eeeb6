"""A recurrent network: gated recurrent units over a window, with shortcuts."""

from jaxtyping import Float
from torch import Tensor, nn

from scaling.models.sequence import SequenceClassifier, normalised


class Block(nn.Module):
    """One recurrent layer, and a shortcut around it."""

    def __init__(self, width: int, *, normalisation: str, groups: int, dropout: float):
        super().__init__()
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.norm = normalised(normalisation, width, groups)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        z, _ = self.recurrent(x.transpose(1, 2))
        return x + self.dropout(self.norm(z.transpose(1, 2)))


class GRU(SequenceClassifier):
    """Classify windows by gated recurrent units (Cho et al., arXiv:1406.1078).

    Each layer reads the one below from the first time step to the last and adds to it; the mean
    over time of the last goes into the head.

    Args:
        inputs: features per time step.
        outputs: classes.
        length: time steps per window, at least 2.
        width: features of each layer.
        layers: number of recurrent layers.
        normalisation: `group`, `layer`, `batch` or `none`, of what a layer adds.
        groups: of features, for `normalisation=group`.
        dropout: share of features set to zero while training, after each normalisation and before
            the head.

    Raises:
        ValueError: naming the key whose value has no meaning.
    """

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
        super().__init__(
            "gru",
            inputs=inputs,
            outputs=outputs,
            length=length,
            width=width,
            layers=layers,
            normalisation=normalisation,
            groups=groups,
            dropout=dropout,
        )
        self.embedding = nn.Conv1d(inputs, width, 1)
        self.blocks = nn.Sequential(
            *(
                Block(width, normalisation=normalisation, groups=groups, dropout=dropout)
                for _ in range(layers)
            )
        )

    def features(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch width length"]:
        """The last layer's output."""
        return self.blocks(self.embedding(windows.transpose(1, 2)))
