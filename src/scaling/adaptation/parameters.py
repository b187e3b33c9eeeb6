"""Selection of the parameters to adapt, and their distance from the source."""

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
    """Select the parameters to adapt, by their names in the network; changes nothing.

    Args:
        network: of any kind.
        adapt: `norm`, scale and shift of every normalisation (Wang et al., arXiv:2006.10726);
            `head`, the submodule of that name, or else the last `nn.Linear` of the network; or
            `all`.

    Raises:
        ValueError: for another choice, or if it selects no parameter.
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
    selected = {
        name: parameter
        for name, parameter in network.named_parameters()
        if any(_inside(name, module) for module in names)
    }
    if not selected:
        missing = {"norm": "normalisation with scale and shift", "head": "linear layer"}
        raise ValueError(
            f"adapt={adapt} finds no {missing.get(adapt, 'parameter')} in this network; "
            "choose adapt=all"
            + (", or model.normalisation=group, layer or batch" if adapt == "norm" else "")
        )
    return selected


def squared_distance(
    parameters: Mapping[str, Tensor], source: Mapping[str, Tensor]
) -> Float[Tensor, ""]:
    """Squared L2 distance from the source, over all coordinates (Li et al., arXiv:1802.01483).

    Args:
        parameters: the adapted ones, by name.
        source: their values before adaptation, under the same names; other names are ignored.

    Raises:
        ValueError: without parameters, or if one is missing in the source.
    """
    if not parameters:
        raise ValueError("a distance over no parameters is not defined")
    if absent := sorted(parameters.keys() - source.keys()):
        raise ValueError(f"the source has no {', '.join(absent)}; copy it from the same network")
    moves = [value - source[name].detach() for name, value in parameters.items()]
    return torch.stack([move.square().sum() for move in moves]).sum()


def _inside(parameter: str, module: str) -> bool:
    return not module or parameter.startswith(f"{module}.")
