"""A recurrent network: gated recurrent units over a window, with shortcuts."""

from jaxtyping import Float
from torch import Tensor, nn

from scaling.models.sequence import SequenceClassifier


class Block(nn.Module):
    """One recurrent layer, and a shortcut around it."""

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

    Each layer reads the one below from the first time step to the last and adds to it; the mean
    over time of the last goes into the head.

    Arguments and refusals are those of `SequenceClassifier`, which normalises what a layer adds.
    """

    name = "gru"

    def layer(self, number: int, width: int, norm: nn.Module, dropout: nn.Module) -> nn.Module:
        return Block(width, norm=norm, dropout=dropout)
