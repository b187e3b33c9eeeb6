"""The operations for which each example's part of a parameter's gradient is known."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scaling.gradients.contributions import Contributions, Rows, at_least_32_bits


def linear(
    uses: Contributions, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> None:
    """A linear map of the last dimension; dimensions between it and the first are positions."""
    if not uses.watches(weight, bias) or input.ndim < 2 or len(input) != uses.examples:
        return
    if weight.ndim != 2:
        return

    def see(g: Tensor) -> None:
        x = at_least_32_bits(input)
        left, right = (side.reshape(len(side), -1, side.shape[-1]) for side in (g, x))
        uses.add_outer(weight, left, right)
        uses.add_direct(bias, left.sum(1))

    uses.on_gradient(out, see)


def embedding(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> None:
    """Rows of a matrix, by indices."""
    if not uses.watches(weight) or scale_grad_by_freq:
        return
    single = input.ndim == 1  # a lookup for each example, or indices that all share
    looked = Rows(weight, input, out)
    if single or len(input) != uses.examples:
        uses.looked[id(out)] = looked
        if not single or len(input) != uses.examples:
            return

    def see(g: Tensor) -> None:
        if looked.shared:
            return
        indices = input.reshape(len(input), -1)
        right = g.reshape(*indices.shape, -1)
        if padding_idx is not None:
            right = right * (indices != padding_idx % len(weight))[:, :, None]
        uses.add_outer(weight, indices, right)

    uses.on_gradient(out, see)


def layer_norm(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> None:
    """Layer normalisation."""
    _see_norm(
        uses, out, input, weight, bias,
        lambda x: F.layer_norm(x, list(normalized_shape), eps=eps), len(normalized_shape),
    )  # fmt: skip


def rms_norm(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> None:
    """RMS normalisation."""
    _see_norm(
        uses, out, input, weight, None,
        lambda x: F.rms_norm(x, list(normalized_shape), eps=eps), len(normalized_shape),
    )  # fmt: skip


def _see_norm(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    normalise: Callable[[Tensor], Tensor],
    dimensions: int,
) -> None:
    """A normalisation of the last dimensions, then an affine map."""
    if not uses.watches(weight, bias) or len(input) != uses.examples or input.ndim <= dimensions:
        return

    def see(g: Tensor) -> None:
        middle = tuple(range(1, g.ndim - dimensions))
        products = g * normalise(at_least_32_bits(input))
        uses.add_direct(weight, products.sum(middle) if middle else products)
        uses.add_direct(bias, g.sum(middle) if middle else g)

    uses.on_gradient(out, see)


def group_norm(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> None:
    """Group normalisation."""
    if not uses.watches(weight, bias) or len(input) != uses.examples:
        return

    def see(g: Tensor) -> None:
        normalised = F.group_norm(at_least_32_bits(input), num_groups, eps=eps)
        uses.add_direct(weight, (g * normalised).flatten(2).sum(2))
        uses.add_direct(bias, g.flatten(2).sum(2))

    uses.on_gradient(out, see)


def batch_norm(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> None:
    """Batch normalisation, which mixes the examples unless its statistics are fixed."""
    uses.mixed |= training


def convolution(
    uses: Contributions,
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> None:
    """A convolution in one or two dimensions: a linear map of the patches of each group."""
    if not uses.watches(weight, bias) or len(input) != uses.examples or input.ndim != weight.ndim:
        return

    def see(g: Tensor) -> None:
        if uses.watches(weight):
            x = at_least_32_bits(input)
            patches = unfolded(x, weight.shape[2:], stride, padding, dilation)
            left = g.flatten(2).reshape(len(g) * groups, -1, g[0, 0].numel()).mT
            right = patches.reshape(len(g) * groups, -1, patches.shape[2]).mT
            uses.add_outer(weight, left, right, groups)
        uses.add_direct(bias, g.flatten(2).sum(2))

    uses.on_gradient(out, see)


def addition(uses: Contributions, out: Tensor, one: Any, other: Any) -> None:
    """Note that looked-up rows are added to a tensor of all examples."""
    for summand in (one, other):
        looked = uses.looked.get(id(summand))
        if looked is None or len(out) != uses.examples or out.ndim < 2:
            continue
        inner = out.shape[1:]
        if looked.rows.shape in (inner, (1, *inner)):
            looked.shared = True
            indices = looked.indices.reshape(1, -1).expand(uses.examples, -1)

            def see(g: Tensor, of: Tensor = looked.parameter, at: Tensor = indices) -> None:
                uses.add_outer(of, at, g.flatten(1, -2))

            uses.on_gradient(out, see)


def unfolded(
    x: Tensor, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Float[Tensor, "examples channels_kernel positions"]:
    """The patches of signals or images that a convolution with these settings sees."""
    count = len(kernel)
    steps, gaps = _each(stride, count), _each(dilation, count)
    if padding == "same":
        wholes = [gap * (size - 1) for gap, size in zip(gaps, kernel, strict=True)]
        sides = [(whole // 2, whole - whole // 2) for whole in wholes]
    else:
        sides = [(side, side) for side in _each(0 if padding == "valid" else padding, count)]
    x = F.pad(x, [side for pair in reversed(sides) for side in pair])
    if count == 1:
        x, kernel, steps, gaps = x[:, :, None], [1, *kernel], [1, *steps], [1, *gaps]
    return F.unfold(x, tuple(kernel), dilation=tuple(gaps), stride=tuple(steps))


def _each(setting: int | Sequence[int], count: int) -> list[int]:
    """A setting for each dimension; a single one is for all."""
    values = [setting] if isinstance(setting, int) else list(setting)
    return values * count if len(values) == 1 else values


ADDITIONS = ("add", "__add__", "__radd__")
OPERATIONS: dict[Any, Callable[..., None]] = {  # called with the operation's result and arguments
    F.linear: linear,
    F.embedding: embedding,
    F.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    F.group_norm: group_norm,
    F.batch_norm: batch_norm,
    F.conv1d: convolution,
    F.conv2d: convolution,
}
