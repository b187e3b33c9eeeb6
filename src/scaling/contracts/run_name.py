"""Names of run folders: `batch=8,lr=0.001,clip=1,seed=0-` and the 12 digits of the digest."""

import re
from typing import NamedTuple

NAME = re.compile(r"batch=(\d+),lr=([^,]+),clip=([^,]+),seed=(\d+)-[0-9a-f]{12}")


class Point(NamedTuple):
    """The root keys of a run, in the order of its name."""

    batch: int
    lr: float
    clip: float  # inf for no clipping
    seed: int


def point(name: str) -> Point | None:
    """Batch, lr, clip and seed from the name of a run's folder; None for another folder."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    batch, lr, clip, seed = match.groups()
    try:
        return Point(int(batch), float(lr), float(clip), int(seed))
    except ValueError:  # such as lr=high, of another program
        return None
