"""Two linear layers without biases, whose output gradients are given by the data."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scaling.contracts.limits import check_least


class TwoLayer(nn.Module):
    """A net with one hidden layer of rectified linear units.

    Its loss is the inner product of the outputs with gradients that come with each example
    (`data=injected`), so that backpropagation starts from exactly these. The loss has no minimum.

    Args:
        inputs: features per example.
        outputs: number of outputs of an example, and of its injected gradients.
        length: must be 1, a single vector per example.
        width: hidden units, at least 1.

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    def __init__(self, *, inputs: int, outputs: int, length: int, width: int):
        super().__init__()
        if length != 1:
            raise ValueError(
                f"model=two_layer takes one vector per example, not {length} in a row; choose "
                "data=injected"
            )
        check_least(1, width=width)
        self.first = nn.Linear(inputs, width, bias=False)
        self.second = nn.Linear(width, outputs, bias=False)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        return self.second(self.first(x).relu())

    def losses(
        self, batch: tuple[Float[Tensor, "batch inputs"], Tensor]
    ) -> Float[Tensor, " batch"]:
        """The outputs of each example times its injected gradients, summed.

        Raises:
            ValueError: for data without a gradient for each output.
        """
        x, gradients, *_ = batch
        outputs = self(x)
        if gradients.shape != outputs.shape or not torch.is_floating_point(gradients):
            raise ValueError(
                "model=two_layer needs a gradient for each output of an example; choose "
                "data=injected"
            )
        return (outputs * gradients).sum(dim=1)
