"""Statistics of gradients: tensors in, tensors out. Nothing here knows of a trainer or a config."""

import torch
from jaxtyping import Float
from torch import Tensor

CLIP_EPSILON = 1e-6  # added to the norm by torch.nn.utils.clip_grad_norm_


def total_norm(tensors: list[Tensor]) -> Float[Tensor, ""]:
    """L2 norm over all coordinates of all tensors, in float32 whatever they are.

    Raises:
        ValueError: if there is no tensor, which is not the same as a norm of zero.
    """
    return torch.linalg.vector_norm(layer_norms(tensors))


def clip_coefficient(norm: Float[Tensor, "*steps"], clip: float) -> Float[Tensor, "*steps"]:
    """The factor that `torch.nn.utils.clip_grad_norm_` multiplies gradients of this norm with.

    At most 1, and exactly 1 for `clip=inf` while the norm is finite; nan for a norm that is not.

    Args:
        norm: of the gradients before clipping.
        clip: ceiling on the norm, at least 0.
    """
    return (clip / (norm + CLIP_EPSILON)).clamp(max=1.0) + 0 * norm


def clamped_norm(tensors: list[Tensor], clip: float) -> Float[Tensor, ""]:
    """L2 norm after each coordinate is cut to [-clip, clip], as clipping by value does."""
    return total_norm([tensor.clamp(-clip, clip) for tensor in tensors])


def layer_norms(tensors: list[Tensor]) -> Float[Tensor, " tensors"]:
    """L2 norm of each tensor, in float32 whatever they are; doubles are summed up as doubles.

    Raises:
        ValueError: if there is no tensor, which is not the same as a norm of zero.
    """
    if not tensors:
        raise ValueError("norms over no tensors are not defined; did backward run?")
    if any(tensor.dtype == torch.float64 for tensor in tensors):  # which torch refuses to narrow
        return torch.stack([torch.linalg.vector_norm(tensor).float() for tensor in tensors])
    return torch.stack(torch._foreach_norm(tensors, 2, dtype=torch.float32))


def layer_spread(
    tensors: list[Tensor], norms: Float[Tensor, " tensors"]
) -> Float[Tensor, "2 tensors"]:
    """Mean and variance over the coordinates of each tensor, in float32.

    The variance is that of the population, in the two-pass form, the mean square of the distance
    from the mean: E[g^2] - E[g]^2 cancels where the mean is large, and would be negative at times.
    Where the mean makes up less than half of E[g^2], that form loses no more than one bit; on a
    CPU, which can look without waiting, such tensors, nearly all, are spared the second pass.

    Args:
        tensors: the gradients.
        norms: their L2 norms, as `layer_norms` gives them.
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
        b: of the same shapes, in the same order.

    Raises:
        ValueError: for gradients of different parameters, or of none.
    """
    if [tensor.shape for tensor in a] != [tensor.shape for tensor in b]:
        raise ValueError("a cosine takes two gradients of the same parameters, in one order")
    lengths = total_norm(a), total_norm(b)
    products = [
        (x.float() / lengths[0] * (y.float() / lengths[1])).sum() for x, y in zip(a, b, strict=True)
    ]
    return torch.stack(products).sum()
