"""Batch-normalisation statistics, and the train and eval modes of a network that is adapted."""

import torch
from torch import Tensor, nn

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def normalises_batches(net: nn.Module) -> bool:
    """Whether a network has batch normalisation with running statistics."""
    return any(True for _ in _norms(net))


def set_modes(net: nn.Module, *, batch_statistics: bool) -> None:
    """Set a network to eval mode, without dropout, except for modules that need train mode.

    Args:
        net: changed in place.
        batch_statistics: normalise by each batch, and update the running statistics.
    """
    net.eval()
    for module in net.modules():
        if isinstance(module, nn.RNNBase) and not module.dropout:
            module.train()  # cuDNN gives no gradients of recurrent networks in eval mode
    for norm in _norms(net):
        norm.train(batch_statistics)


@torch.no_grad()
def estimate(net: nn.Module, windows: Tensor) -> None:
    """Replace the running statistics of batch normalisation by those of `windows` as one batch.

    The statistics of a layer are those of its inputs once the layers before it have theirs. Nothing
    else of the network changes, and its modes stay as they are.
    """
    norms = list(_norms(net))
    modes = [(module, module.training) for module in net.modules()]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # forget the old statistics
    try:
        net.logits(windows)  # type: ignore[operator]
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in net.modules() if isinstance(m, BATCH_NORM) and m.track_running_stats]
