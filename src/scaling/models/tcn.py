"""A temporal convolution network: dilated convolutions over a window, with residual connections."""

from jaxtyping import Float
from torch import Tensor, nn

from scaling.models.sequence import SequenceClassifier

KERNEL = 3  # time steps that a convolution sees


class Block(nn.Module):
    """One convolution with a residual connection."""

    def __init__(self, width: int, *, dilation: int, norm: nn.Module, dropout: nn.Module):
        super().__init__()
        self.convolution = nn.Conv1d(width, width, KERNEL, padding="same", dilation=dilation)
        self.norm, self.dropout = norm, dropout

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        return x + self.dropout(self.norm(self.convolution(x)).relu())


class TCN(SequenceClassifier):
    """Classify windows by residual blocks of dilated convolutions (Bai et al., arXiv:1803.01271).

    Layer i = 0, 1, ... has a dilation of 2^i, so a time step of the last of n layers sees
    2^(n + 1) - 1 steps: 31 with four. Unlike in the paper, convolutions look both ways, because a
    window is classified as a whole; a block has one convolution, not two; features are averaged
    over time; and the normalisation, after each convolution, is a choice.

    It takes the arguments of `SequenceClassifier` and raises its errors.
    """

    name = "tcn"

    def layer(self, number: int, width: int, norm: nn.Module, dropout: nn.Module) -> nn.Module:
        return Block(width, dilation=2**number, norm=norm, dropout=dropout)
