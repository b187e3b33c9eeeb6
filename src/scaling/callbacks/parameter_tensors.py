"""The parameter tensors of a module: name, kind and size of each."""

from typing import NamedTuple

import numpy as np
from torch import nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)


class Layer(NamedTuple):
    """A parameter tensor."""

    name: str
    kind: str
    size: int  # coordinates


def kind(module: nn.Module, name: str) -> str:
    """The kind of a parameter: weight, bias, norm or embedding.

    Args:
        module: of the parameter.
        name: of the parameter in the module.
    """
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    return "bias" if "bias" in name else "weight"


def layers(module: nn.Module) -> dict[int, Layer]:
    """The parameters of a module by their `id`; shared ones under their first name."""
    by_id: dict[int, Layer] = {}
    for path, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            whole = f"{path}.{name}" if path else name
            layer = Layer(whole.removeprefix("net."), kind(owner, name), parameter.numel())
            by_id.setdefault(id(parameter), layer)
    return by_id


def ratio(update: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Norm of an update over that of the tensor; nan for a tensor of zeros, such as a new bias."""
    return np.divide(update, weight, out=np.full_like(update, np.nan), where=weight > 0)
