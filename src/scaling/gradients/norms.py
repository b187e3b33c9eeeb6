"""Norms of gradients, their clipping, spread and direction."""

import torch
from jaxtyping import Float
from torch import Tensor

CLIP_EPSILON = 1e-6  # added to the norm by torch.nn.utils.clip_grad_norm_


def total_norm(tensors: list[Tensor]) -> Float[Tensor, ""]:
    """L2 norm over all coordinates of all tensors, in float32.

    Raises:
        ValueError: if `tensors` is empty.
    """
    return torch.linalg.vector_norm(layer_norms(tensors))


def clip_coefficient(norm: Float[Tensor, "*steps"], clip: float) -> Float[Tensor, "*steps"]:
    """The factor by which `torch.nn.utils.clip_grad_norm_` multiplies gradients of this norm.

    At most 1, and exactly 1 for `clip=inf`; nan if the norm is not finite.

    Args:
        norm: norm of the gradients before clipping.
        clip: maximum norm, at least 0.
    """
    return (clip / (norm + CLIP_EPSILON)).clamp(max=1.0) + 0 * norm


def clamped_norm(tensors: list[Tensor], clip: float) -> Float[Tensor, ""]:
    """L2 norm after clipping by value: each coordinate is clamped to [-clip, clip]."""
    return total_norm([tensor.clamp(-clip, clip) for tensor in tensors])


def layer_norms(tensors: list[Tensor]) -> Float[Tensor, " tensors"]:
    """L2 norm of each tensor, in float32; doubles are summed in double precision.

    Raises:
        ValueError: if `tensors` is empty.
    """
    if not tensors:
        raise ValueError("norms over no tensors are not defined; did backward run?")
    if any(tensor.dtype == torch.float64 for tensor in tensors):  # `dtype` below cannot narrow
        return torch.stack([torch.linalg.vector_norm(tensor).float() for tensor in tensors])
    return torch.stack(torch._foreach_norm(tensors, 2, dtype=torch.float32))


def layer_spread(
    tensors: list[Tensor], norms: Float[Tensor, " tensors"]
) -> Float[Tensor, "2 tensors"]:
    """Mean and variance over the coordinates of each tensor, in float32.

    The population variance is computed in two passes, as E[(g - E[g])^2], because E[g^2] - E[g]^2
    cancels if the mean is large and can be negative. If E[g]^2 is at most half of E[g^2],
    cancellation costs at most one bit, so on a CPU such tensors (nearly all) skip the second pass.
    On a GPU no tensor skips it, because the comparison would wait for the device.

    Args:
        tensors: the gradients.
        norms: their L2 norms, from `layer_norms`.
    """
    sizes = norms.new_tensor([tensor.numel() for tensor in tensors])
    means = torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors]) / sizes
    squares = norms**2 / sizes
    variances = squares - means**2
    near = variances >= squares / 2
    cancelling = [True] * len(tensors) if norms.device.type != "cpu" else (~near).tolist()
    far = [number for number, cancels in enumerate(cancelling) if cancels]
    if far:
        centred = torch._foreach_sub(
            [tensors[number].float() for number in far], [means[number] for number in far]
        )
        variances[far] = layer_norms(list(centred)) ** 2 / sizes[far]
    return torch.stack([means, variances])


def cosine(a: list[Tensor], b: list[Tensor]) -> Float[Tensor, ""]:
    """Cosine of the angle between two gradients over all coordinates, in float32; nan if one is 0.

    Args:
        a: a tensor for each parameter.
        b: tensors of the same shapes, in the same order.

    Raises:
        ValueError: if the shapes differ, or both lists are empty.
    """
    if [tensor.shape for tensor in a] != [tensor.shape for tensor in b]:
        raise ValueError("a cosine needs two gradients of the same parameters in the same order")
    lengths = total_norm(a), total_norm(b)
    products = [
        (x.float() / lengths[0] * (y.float() / lengths[1])).sum() for x, y in zip(a, b, strict=True)
    ]
    return torch.stack(products).sum()
