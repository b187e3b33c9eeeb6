"""Parameter groups: weight decay for matrices, but not for vectors."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from scaling.contracts.protocols import howto, name_of


def optimization(
    trained: Iterable[nn.Parameter],
    optimizer: Callable[[Iterable[Any]], Optimizer],
    schedule: Callable[[Optimizer], LRScheduler],
) -> dict[str, Any]:
    """Build optimizer and schedule for Lightning, without weight decay for vectors.

    Raises:
        ValueError: if the results are not an optimizer and a schedule of torch.
    """
    parameters = list(trained)
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": matrices}] if matrices else []
    if vectors:
        groups.append({"params": vectors, "weight_decay": 0.0})
    built = optimizer(groups)
    if not isinstance(built, Optimizer):
        raise ValueError(f"{name_of(built)} must be a torch.optim.Optimizer{howto('optimizer')}")
    scheduler = schedule(built)
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            f"{name_of(scheduler)} must be an LRScheduler of torch that depends on the step only"
            f"{howto('schedule')}"
        )
    return {"optimizer": built, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
