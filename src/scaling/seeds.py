"""Random seeds derived from their purpose and index, independent of earlier draws."""

from typing import Literal

import numpy as np
import torch

Purpose = Literal["weights", "order", "step", "data", "labels", "federation", "tails"]
STREAMS: dict[Purpose, int] = {
    "weights": 0,
    "order": 1,
    "step": 2,
    "data": 3,
    "labels": 4,
    "federation": 5,
    "tails": 6,
}


def seed_for(purpose: Purpose, *index: int) -> int:
    """A 32-bit seed for one purpose and index, such as `seed_for("order", seed, epoch)`.

    Mixed by `numpy.random.SeedSequence`, so that neighbouring indices give unrelated streams;
    32 bits, because torch's CPU generator ignores the rest.
    """
    return int(np.random.SeedSequence([STREAMS[purpose], *index]).generate_state(1)[0])


def reseed(seed: int, device: torch.device) -> None:
    """Set the global random state of the CPU and of `device` only.

    `torch.manual_seed` also queues the seed for absent devices, which costs 1 ms.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def generator_for(purpose: Purpose, *index: int) -> torch.Generator:
    """A new CPU generator, seeded by `seed_for`."""
    return torch.Generator().manual_seed(seed_for(purpose, *index))
