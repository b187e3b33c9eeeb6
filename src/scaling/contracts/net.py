"""Methods that a run needs of a network, which must also be an `nn.Module`.

A network to be adapted to data without labels also needs `logits(windows)`.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Net(Protocol):
    """A network that can be trained."""

    def losses(self, batch: Any) -> Float[Tensor, " batch"]:
        """One loss per example, in nats for a cross-entropy."""


@runtime_checkable
class Classifier(Net, Protocol):
    """A network that is also scored by its accuracy.

    Its batches are inputs, labels and, if labels may be corrupted, the true labels.
    """

    def losses_and_logits(
        self, batch: Any
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        """Loss and logits of each example, from one forward pass."""
