"""A temporal convolution network: dilated convolutions over a window, with shortcuts."""

from jaxtyping import Float
from torch import Tensor, nn

from scaling.models.sequence import SequenceClassifier, normalised

KERNEL = 3  # time steps that a convolution sees


class Block(nn.Module):
    """One convolution, and a shortcut around it."""

    def __init__(
        self, width: int, *, dilation: int, normalisation: str, groups: int, dropout: float
    ):
        super().__init__()
        self.convolution = nn.Conv1d(width, width, KERNEL, padding="same", dilation=dilation)
        self.norm = normalised(normalisation, width, groups)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        return x + self.dropout(self.norm(self.convolution(x)).relu())


class TCN(SequenceClassifier):
    """Classify windows by residual blocks of dilated convolutions (Bai et al., arXiv:1803.01271).

    Layer i = 0, 1, ... dilates by 2^i, so that a time step of the last of n layers sees
    2^(n + 1) - 1 steps: 31 with four. Unlike there, convolutions look both ways, because a window
    is classified as a whole; a block has one, not two; features are averaged over time; and the
    normalisation is a choice.

    Args:
        inputs: features per time step.
        outputs: classes.
        length: time steps per window, at least 2.
        width: features of each layer.
        layers: number of convolutions.
        normalisation: `group`, `layer`, `batch` or `none`, after each convolution.
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
            "tcn",
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
                Block(
                    width,
                    dilation=2**i,
                    normalisation=normalisation,
                    groups=groups,
                    dropout=dropout,
                )
                for i in range(layers)
            )
        )

    def features(
        self, windows: Float[Tensor, "batch length inputs"]
    ) -> Float[Tensor, "batch width length"]:
        """The last layer's output."""
        return self.blocks(self.embedding(windows.transpose(1, 2)))
