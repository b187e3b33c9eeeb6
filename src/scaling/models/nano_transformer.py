"""A decoder-only transformer as in GPT-2, small enough to sweep.

All layers have one shape, positions are learned, and the output shares its weights with the
embedding. Radford et al. (2019), "Language models are unsupervised multitask learners",
section 2.3.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, arange, nn

from scaling.contracts.limits import check_least


class NanoTransformer(nn.Module):
    """Predict each next token from the ones before it.

    About `12 * layers * d_model**2` parameters: 200K at 64 x 4, 800K at 128 x 4.

    Args:
        inputs: tokens in the vocabulary.
        outputs: must equal `inputs`, because embedding and output share their weights.
        length: the longest context, in tokens.
        d_model: features per token.
        layers: blocks of attention and MLP.
        heads: attention heads; must divide `d_model`.
        dropout: share of activations dropped in training, in [0, 1).

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        length: int,
        d_model: int,
        layers: int,
        heads: int,
        dropout: float,
    ):
        super().__init__()
        if inputs != outputs:
            raise ValueError(
                f"a tied embedding needs equal inputs and outputs, got {inputs} and {outputs}; "
                "choose data of text or tokens; images take model=mlp, windows model=tcn or gru"
            )
        check_least(1, d_model=d_model, layers=layers, heads=heads)
        if d_model % heads:
            raise ValueError(f"heads={heads} must divide d_model={d_model}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must lie in [0, 1); 0 turns it off")
        self.embedding = nn.Embedding(inputs, d_model)
        self.positions = nn.Embedding(length, d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(d_model, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(d_model)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):  # the last layer of a residual branch
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocabulary"]:
        h = self.embedding(x) + self.positions(arange(x.shape[1], device=x.device))
        h = self.norm(self.blocks(self.dropout(h)))
        return F.linear(h, self.embedding.weight)

    def losses(
        self, batch: tuple[Int[Tensor, "batch time"], Int[Tensor, "batch time"]]
    ) -> Float[Tensor, " batch"]:
        """Mean cross-entropy over the tokens of each example, in nats per token."""
        x, y = batch
        return F.cross_entropy(self(x).transpose(1, 2), y, reduction="none").mean(dim=1)


class Block(nn.Module):
    """Attention, then an MLP, each on the normalised input and added to it."""

    def __init__(self, d_model: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm_attention = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.norm_mlp = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Float[Tensor, "batch time d"]) -> Float[Tensor, "batch time d"]:
        h = h + self.dropout(self.attention(self.norm_attention(h)))
        return h + self.dropout(self.down(F.gelu(self.up(self.norm_mlp(h)), approximate="tanh")))

    def attention(self, h: Float[Tensor, "batch time d"]) -> Float[Tensor, "batch time d"]:
        """Causal self-attention: each position sees itself and those before it."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # batch heads time d/heads
            for part in self.qkv(h).chunk(3, dim=2)
        )
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))
