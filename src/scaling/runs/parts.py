"""Check the parts of a run, including a user's, before training."""

from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
from torch import nn

from scaling.config.cell import build, keys_of
from scaling.contracts.protocols import (
    NeedsSteps,
    Observer,
    RunBatches,
    RunData,
    howto,
    name_of,
    required,
)
from scaling.contracts.sizes import Sizes

# pytorch_lightning has classes of the same names, which the trainer does not accept.
IMPORT = "(import lightning, not pytorch_lightning)"


def check_net(net: object) -> None:
    """Refuse a model that is not a module of torch; the `Learner` checks its methods.

    Raises:
        ValueError: naming its class.
    """
    if not isinstance(net, nn.Module):
        raise ValueError(f"{name_of(net)} must be a torch.nn.Module{howto('model')}")


def check_data(data: object, sizes: object) -> None:
    """Refuse a data set that cannot be trained on.

    Args:
        data: as its config built it.
        sizes: what its `prepare()` returned.

    Raises:
        ValueError: naming its class and what is missing.
    """
    name, page = name_of(data), howto("data")
    if not isinstance(data, L.LightningDataModule):
        raise ValueError(f"{name} must be a LightningDataModule {IMPORT}{page}")
    for loader in ("train_dataloader", "val_dataloader"):
        if getattr(type(data), loader) is getattr(L.LightningDataModule, loader):
            raise ValueError(f"{name} has no {loader}(), which a run needs{page}")
    if not isinstance(sizes, Sizes):
        raise ValueError(f"{name}.prepare() must return Sizes, not {type(sizes).__name__}{page}")
    run_data: RunData = required(data, RunData, "data")
    required(run_data.batches, RunBatches, "data", name=f"{name}.batches")


def callback(node: Mapping[str, Any], path: str, steps: int) -> Any:
    """Build a callback for a run of some optimizer steps.

    Args:
        node: of the callback, as plain containers.
        path: its place in the config.
        steps: of the run.

    Raises:
        ValueError: if it refuses its values, or needs more steps.
    """
    built = build(node, path)
    if isinstance(built, NeedsSteps):
        with keys_of(node, path):
            built.check_steps(steps)
    return built


def check_callbacks(callbacks: Iterable[object]) -> None:
    """Refuse callbacks that the trainer would not call.

    Raises:
        ValueError: naming the first one's class.
    """
    for callback in callbacks:
        if not isinstance(callback, L.Callback):
            raise ValueError(f"{name_of(callback)} must be a Callback {IMPORT}{howto('callbacks')}")


def columns(observer: Observer) -> dict[str, int | float]:
    """An observer's columns as plain numbers; tensors of one element are converted."""
    return {
        name: value if isinstance(value, int | float) else float(value)
        for name, value in observer.columns().items()
    }
