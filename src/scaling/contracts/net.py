"""What a run asks of a network, beside being an `nn.Module`.

One that is to be adapted to data without labels also offers `logits(windows)`.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Net(Protocol):
    """A network that can be trained."""

    def losses(self, batch: Any) -> Float[Tensor, " batch"]:
        """One loss per example, in nats where it is a cross-entropy."""


@runtime_checkable
class Classifier(Net, Protocol):
    """A network that is also scored by its accuracy.

    Its batches are inputs, labels and, where these may be corrupted, the true labels.
    """

    def losses_and_logits(
        self, batch: Any
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        """Both of each example, from one forward pass."""
