"""Contributions of the single examples of a batch to the gradients of parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scaling.gradients import outer_products
from scaling.gradients.outer_products import Outer

HALVES = (torch.float16, torch.bfloat16)
TOLERANCE, COARSE = 1e-3, 0.05  # relative rounding of a gradient, in 32 and in 16 bits


@dataclass
class Rows:
    """Rows that were looked up in an embedding by indices without the dimension of examples."""

    parameter: Tensor
    indices: Tensor
    rows: Tensor
    shared: bool = False  # added to a tensor of all examples, like the embeddings of positions


class Contributions:
    """Collects what each example adds to the gradients of some parameters.

    Args:
        parameters: to watch; frozen ones are left aside.
        examples: in the batch.
    """

    def __init__(self, parameters: Sequence[Tensor], *, examples: int):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.examples = examples
        self.outer: dict[int, list[Outer]] = {id(p): [] for p in self.parameters}
        self.direct: dict[int, list[Tensor]] = {id(p): [] for p in self.parameters}
        self.looked: dict[int, Rows] = {}  # by the id of the rows
        self.coarse = False  # whether an operation ran in 16 bits
        self.mixed = False  # whether a normalisation mixed the examples

    def squared_norms(self) -> Float[Tensor, "parameters examples"]:
        """Squared norm of what each example adds to the gradient of each parameter.

        For a mean loss, the contribution is 1 / examples of the example's own gradient; for a sum
        of losses it is that gradient. Call it after the backward pass. A parameter that no
        operation used has zeros.
        """
        with torch.no_grad(), full_precision(self.parameters[0]):
            return torch.stack([self._squared_norms(p) for p in self.parameters])

    def left_out(self, gradients: Sequence[Tensor]) -> list[int]:
        """Indices of the parameters whose gradient is not the sum of the examples' contributions.

        Unknown operations also use these parameters. Takes about a third of a backward pass.

        Args:
            gradients: of the parameters, from the same backward pass.
        """
        pairs = zip(self.parameters, gradients, strict=True)
        with torch.no_grad():
            return [number for number, pair in enumerate(pairs) if not self._explains(*pair)]

    def watches(self, *parameters: Tensor | None) -> bool:
        """Whether one of these is watched."""
        return any(p is not None and id(p) in self.outer for p in parameters)

    def add_outer(self, parameter: Tensor, left: Tensor, right: Tensor, groups: int = 1) -> None:
        """Add outer products of positions to a matrix; `left` may be indices."""
        if id(parameter) in self.outer:
            rows = len(parameter) // groups
            self.outer[id(parameter)].append(Outer(left, right, rows, groups))

    def add_direct(self, parameter: Tensor | None, values: Tensor) -> None:
        """Add the gradients of all examples to a parameter."""
        if parameter is not None and id(parameter) in self.direct:
            self.direct[id(parameter)].append(values)

    def on_gradient(self, out: Tensor, see: Callable[[Tensor], None]) -> None:
        """Call `see` with the gradient of an output, in at least 32 bits."""
        self.coarse |= out.dtype in HALVES

        def seen(gradient: Tensor) -> None:
            with torch.no_grad(), full_precision(gradient):
                see(at_least_32_bits(gradient))

        out.register_hook(seen)

    def _explains(self, parameter: Tensor, gradient: Tensor) -> bool:
        """Whether the examples add up to the gradient of a parameter, up to rounding."""
        outer, direct = self.outer[id(parameter)], self.direct[id(parameter)]
        if len({part.groups for part in outer}) + bool(direct) > 1:
            return False  # used by operations of different kinds
        rest = at_least_32_bits(gradient)
        size = torch.linalg.vector_norm(rest)
        with full_precision(rest):
            for whole in [outer_products.total(outer)] if outer else [x.sum(0) for x in direct]:
                rest = rest - whole.view_as(rest)
        tolerance = COARSE if self.coarse else TOLERANCE
        return bool(torch.linalg.vector_norm(rest) <= tolerance * size)

    def _squared_norms(self, parameter: Tensor) -> Float[Tensor, " examples"]:
        outer, direct = self.outer[id(parameter)], self.direct[id(parameter)]
        if outer:
            return outer_products.squared_norms(outer)
        if direct:
            return torch.stack(direct).sum(0).flatten(1).square().sum(1)
        return torch.zeros(self.examples, device=parameter.device)


def full_precision(x: Tensor) -> torch.autocast:
    """A context in which operations on the device of `x` have the precision of their arguments."""
    return torch.autocast(x.device.type, enabled=False)


def at_least_32_bits(x: Tensor) -> Tensor:
    """Detached, and in float32 if it has 16 bits."""
    return x.detach().float() if x.dtype in HALVES else x.detach()
