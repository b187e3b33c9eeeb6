"""Statistics of batch normalisation, and the modes in which a network is adapted."""

import torch
from torch import Tensor, nn

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def normalises_batches(net: nn.Module) -> bool:
    """Whether a network has batch normalisation with statistics of its training."""
    return any(True for _ in _norms(net))


def set_modes(net: nn.Module, *, batch_statistics: bool) -> None:
    """Evaluate a network, without dropout, in the modes that gradients can be taken in.

    Args:
        net: changed in place.
        batch_statistics: normalise by each batch, and keep a running mean of its statistics.
    """
    net.eval()
    for module in net.modules():
        if isinstance(module, nn.RNNBase) and not module.dropout:
            module.train()  # cuDNN has no gradients of a recurrent network that is evaluated
    for norm in _norms(net):
        norm.train(batch_statistics)


@torch.no_grad()
def estimate(net: nn.Module, windows: Tensor) -> None:
    """Replace the statistics of batch normalisation by those of `windows`, taken as one batch.

    Every layer's follow from what the layers before it make of `windows` with theirs. Nothing else
    of the network changes; its modes are left as they were.
    """
    norms = list(_norms(net))
    modes = [(module, module.training) for module in net.modules()]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # nothing of what was before
    try:
        net.logits(windows)  # type: ignore[operator]
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in net.modules() if isinstance(m, BATCH_NORM) and m.track_running_stats]
