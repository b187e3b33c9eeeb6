"""Uses of each parameter in a forward pass, and from them the gradient of each single example."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from scaling.gradients.contributions import Contributions
from scaling.gradients.operations import ADDITIONS, OPERATIONS, addition


class ParameterUses(TorchFunctionMode):
    """Watch the operations of a forward pass that take some parameters, and their gradients.

        with ParameterUses(list(net.parameters()), examples=32) as uses:
            loss = net.losses(batch).mean()
        loss.backward()
        norms = uses.contributions.squared_norms()

    Known operations are linear maps, embeddings, layer, group and RMS normalisation, and
    convolutions in one and two dimensions, in modules or as functions. A parameter may be used
    several times (tied weights). The first dimension of their inputs must be that of the examples;
    another dimension of the same length cannot be distinguished from it. An embedding of indices
    that all examples share is known if its result is added to a tensor with the dimension of
    examples.

    Read-only: no result changes. Inputs, and the gradients of outputs, stay in memory as long as
    this object.

    Args:
        parameters: to watch; frozen ones are left aside.
        examples: in the batch.
    """

    def __init__(self, parameters: Sequence[Tensor], *, examples: int):
        super().__init__()
        self.contributions = Contributions(parameters, examples=examples)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if isinstance(out, Tensor) and out.requires_grad:
            if func in OPERATIONS:
                OPERATIONS[func](self.contributions, out, *args, **kwargs)
            elif self.contributions.looked and not kwargs and _name(func) in ADDITIONS:
                addition(self.contributions, out, *args)
        return out


def _name(func: Any) -> str:
    return getattr(func, "__name__", "")
