"""A recurrent network: gated recurrent units over a window, with residual connections."""

from jaxtyping import Float
from torch import Tensor, nn

from scaling.models.sequence import SequenceClassifier


class Block(nn.Module):
    """One recurrent layer with a residual connection."""

    def __init__(self, width: int, *, norm: nn.Module, dropout: nn.Module):
        super().__init__()
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.norm, self.dropout = norm, dropout

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        z, _ = self.recurrent(x.transpose(1, 2))
        return x + self.dropout(self.norm(z.transpose(1, 2)))


class GRU(SequenceClassifier):
    """Classify windows by gated recurrent units (Cho et al., arXiv:1406.1078).

    Each layer runs over the time steps of the one below, from first to last, and adds its
    normalised output to it. The head gets the last layer's mean over time.

    It takes the arguments of `SequenceClassifier` and raises its errors.
    """

    name = "gru"

    def layer(self, number: int, width: int, norm: nn.Module, dropout: nn.Module) -> nn.Module:
        return Block(width, norm=norm, dropout=dropout)
