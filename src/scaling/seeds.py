"""Random states that follow from what they are for, never from what was drawn before."""

from typing import Literal

import numpy as np
import torch

Purpose = Literal["weights", "order", "step"]
STREAMS: dict[Purpose, int] = {"weights": 0, "order": 1, "step": 2}


def seed_for(purpose: Purpose, *index: int) -> int:
    """A 32-bit seed for one purpose and index, such as `seed_for("order", seed, epoch)`.

    Mixed by `numpy.random.SeedSequence`, so that neighbouring indices give unrelated streams;
    32 bits, because torch's CPU generator ignores the others.
    """
    return int(np.random.SeedSequence([STREAMS[purpose], *index]).generate_state(1)[0])


def generator_for(purpose: Purpose, *index: int) -> torch.Generator:
    """A CPU generator of its own, seeded by `seed_for`."""
    return torch.Generator().manual_seed(seed_for(purpose, *index))
