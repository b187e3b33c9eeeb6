"""Which parameters of a network are adapted, and how far they have gone from its source."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
Named = dict[str, nn.Parameter]


def adapted_parameters(network: nn.Module, adapt: str) -> Named:
    """Parameters to adapt, by their names in the network; nothing is changed.

    Args:
        network: of any kind.
        adapt: `norm`, scale and shift of every normalisation, as Wang et al. (arXiv:2006.10726)
            adapt them; `head`, a submodule of that name, else the last `nn.Linear` in the order of
            the network; or `all`.

    Raises:
        ValueError: for another choice, or one that leaves no parameter.
    """
    if adapt not in ("norm", "all", "head"):
        raise ValueError(f"adapt={adapt} must be one of norm, all, head")
    if adapt == "all":
        names = {""}
    elif adapt == "norm":
        names = {name for name, module in network.named_modules() if isinstance(module, NORMS)}
    else:
        modules = dict(network.named_modules())
        heads = [name for name in modules if name.rpartition(".")[2] == "head"]
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        names = {*heads[:1]} or {*linear[-1:]}
    found = {
        name: parameter
        for name, parameter in network.named_parameters()
        if any(_inside(name, module) for module in names)
    }
    if not found:
        lacking = {"norm": "normalisation with scale and shift", "head": "linear layer"}
        raise ValueError(
            f"adapt={adapt} finds no {lacking.get(adapt, 'parameter')} in this network; "
            "choose adapt=all"
            + (", or model.normalisation=group, layer or batch" if adapt == "norm" else "")
        )
    return found


def squared_distance(
    parameters: Mapping[str, Tensor], source: Mapping[str, Tensor]
) -> Float[Tensor, ""]:
    """Squared L2 distance from the source over all coordinates: the pull back, before its weight.

    Its gradient is twice the way from the source. Li et al. (arXiv:1802.01483).

    Args:
        parameters: that are adapted, by name.
        source: copies of them from before, by the same names; others are left out.

    Raises:
        ValueError: for no parameter, or one that the source lacks.
    """
    if not parameters:
        raise ValueError("a distance over no parameters is not defined")
    if absent := sorted(parameters.keys() - source.keys()):
        raise ValueError(f"the source lacks {', '.join(absent)}; copy it from the same network")
    ways = [value - source[name].detach() for name, value in parameters.items()]
    return torch.stack([way.square().sum() for way in ways]).sum()


def _inside(parameter: str, module: str) -> bool:
    return not module or parameter.startswith(f"{module}.")
