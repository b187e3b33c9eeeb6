"""Squared norms of the gradient of each example, exact for any network that torch.func can map."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_map

from scaling.contracts.limits import check_least
from scaling.contracts.net import Net
from scaling.gradients.parameter_uses import ParameterUses

BATCH_NORMS = nn.modules.batchnorm._BatchNorm


def exact_squared_norms(
    net: nn.Module, batch: Any, *, chunk: int
) -> dict[str, Float[Tensor, " examples"]]:
    """Squared norm of each example's gradient, by one backward pass per example in parallel.

    Time and memory are those of `chunk` copies of the gradient; `squared_norms` is faster.
    Nothing of the network changes. Each example draws its own dropout.

    Args:
        net: with `losses(batch)`, one loss per example.
        batch: tensors whose first dimension is that of the examples.
        chunk: examples at a time.

    Returns:
        parameter -> a number for each example; without frozen parameters. A parameter that two
        modules share has the name of the first.

    Raises:
        ValueError: for a network with batch normalisation, whose loss of an example depends on the
            others, or `chunk` below 1.
    """
    check_least(1, chunk=chunk)
    check_independent(net)
    trained = {name: p.detach() for name, p in net.named_parameters() if p.requires_grad}
    wrapped = _Loss(net)

    def loss(parameters: dict[str, Tensor], example: Any) -> Tensor:
        alone = tree_map(lambda x: x.unsqueeze(0), example)
        named = {f"net.{name}": value for name, value in parameters.items()}
        return functional_call(wrapped, named, (alone,))

    def norms(example: Any) -> dict[str, Tensor]:
        gradients = grad(loss)(trained, example)
        return {name: gradient.square().sum() for name, gradient in gradients.items()}

    mapped = vmap(norms, chunk_size=chunk, randomness="different")
    with sdpa_kernel(SDPBackend.MATH):  # the others are not mapped, but called for each example
        result: dict[str, Tensor] = mapped(batch)
    return result


def squared_norms(net: nn.Module, batch: Any) -> dict[str, Float[Tensor, " examples"]]:
    """Squared norm of each example's gradient, from one ordinary backward pass.

    The same numbers as `exact_squared_norms`, for networks whose parameters are used by the
    operations that `ParameterUses` knows.

    Args:
        net: with `losses(batch)`, one loss per example.
        batch: tensors whose first dimension is that of the examples.

    Raises:
        ValueError: for a network with batch normalisation, or parameters that are also used
            otherwise; they are named.
    """
    check_independent(net)
    assert isinstance(net, Net)
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    names, tensors = list(trained), list(trained.values())
    with ParameterUses(tensors, examples=examples_of(batch)) as uses:
        loss = net.losses(batch).sum()
    gradients = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    if left_out := [names[i] for i in uses.contributions.left_out(gradients)]:
        raise ValueError(
            f"the gradients of single examples are not known for {', '.join(left_out)}; "
            "exact_squared_norms has them"
        )
    return dict(zip(names, uses.contributions.squared_norms(), strict=True))


def check_independent(net: nn.Module) -> None:
    """Refuse a network in which the loss of an example depends on other examples.

    Raises:
        ValueError: naming the first batch normalisation that uses statistics of the batch.
    """
    for name, module in net.named_modules():
        if isinstance(module, BATCH_NORMS) and (module.training or module.running_mean is None):
            raise ValueError(
                f"{name} is a batch normalisation, so no example has a gradient of its own; use "
                "group or layer normalisation"
            )


def examples_of(batch: Any) -> int:
    """Number of examples of a batch: the first dimension of its first tensor.

    Raises:
        ValueError: if it has no such tensor.
    """
    sizes = [len(x) for x in tree_flatten(batch)[0] if isinstance(x, Tensor) and x.ndim]
    if not sizes:
        raise ValueError(f"a batch of type {type(batch).__name__} has no tensor to count examples")
    return sizes[0]


class _Loss(nn.Module):
    """The loss of a batch of one as a forward pass, which `functional_call` needs."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Sequence[Tensor]) -> Tensor:
        assert isinstance(self.net, Net)
        return self.net.losses(batch)[0]
