"""A multilayer perceptron with a choice of four initialisations."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scaling.contracts.limits import check_choice, check_least

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
INITS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "xavier": nn.init.xavier_uniform_,
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
    "torch": None,
}


class MLP(nn.Module):
    """Classify vectors: `depth` hidden layers of `width` features, then a linear classifier.

    There are `depth` activations and `depth + 1` weight matrices.

    Args:
        inputs: features per example.
        outputs: classes.
        length: must be 1, a single vector per example.
        depth: number of hidden layers, at least 1.
        width: features of each hidden layer.
        activation: `relu`, `gelu` or `tanh`, after each hidden layer.
        init: initialisation of every weight matrix, including the classifier's, whatever the
            activation. With fan_in inputs and fan_out outputs: `xavier`, uniform with variance
            2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 16); `he`, normal with variance
            2 / fan_in (He et al., arXiv:1502.01852, eq. 10); `orthogonal`, with singular values of
            1 (Saxe et al., arXiv:1312.6120); all three with biases of zero. `torch` keeps the
            initialisation of `nn.Linear`: weights and biases of variance 1 / (3 fan_in).

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        length: int,
        depth: int,
        width: int,
        activation: str,
        init: str,
    ):
        super().__init__()
        if length != 1:
            raise ValueError(
                f"model=mlp takes one vector per example, not {length} in a row; choose data of "
                "vectors, such as data=digits or data=mnist"
            )
        check_least(1, depth=depth, width=width)
        check_choice(ACTIVATIONS, activation=activation)
        check_choice(INITS, init=init)
        widths = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(widths))
        self.classifier = nn.Linear(width, outputs)
        self.activation = ACTIVATIONS[activation]()
        if draw := INITS[init]:
            for layer in (*self.hidden, self.classifier):
                draw(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch classes"]:
        """The logit of each class."""
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.classifier(x)

    def losses(self, batch: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """Cross-entropy of each example, in nats."""
        return self.losses_and_logits(batch)[0]

    def losses_and_logits(
        self, batch: Sequence[Tensor]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        """Loss and logits of each example, from one forward pass."""
        x, labels, *_ = batch
        logits = self(x)
        return F.cross_entropy(logits, labels, reduction="none"), logits
