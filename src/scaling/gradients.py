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
    if not tensors:
        raise ValueError("a norm over no tensors is not defined; did backward run?")
    return torch.linalg.vector_norm(
        torch.stack(torch._foreach_norm(tensors, 2, dtype=torch.float32))
    )


def clip_coefficient(norm: Float[Tensor, ""], clip: float) -> Float[Tensor, ""]:
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


def layer_moments(tensors: list[Tensor]) -> Float[Tensor, "3 tensors"]:
    """L2 norm, mean and variance over the coordinates of each tensor, in float32.

    The variance is that of the population, in the two-pass form: E[g^2] - E[g]^2 would be negative
    at times in float32. One kernel each for norms and differences, however many tensors there are.

    Raises:
        ValueError: if there is no tensor.
    """
    if not tensors:
        raise ValueError("moments over no tensors are not defined; did backward run?")
    sizes = torch.tensor([tensor.numel() for tensor in tensors], dtype=torch.float32)
    sizes = sizes.to(tensors[0].device, non_blocking=True)
    norms = torch.stack(torch._foreach_norm(tensors, 2, dtype=torch.float32))
    means = torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors]) / sizes
    centred = torch._foreach_sub([tensor.float() for tensor in tensors], list(means.unbind()))
    spread = torch.stack(torch._foreach_norm(centred, 2))
    return torch.stack([norms, means, spread**2 / sizes])
