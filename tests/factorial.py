"""Simulated finished runs of a whole grid."""

import math
from itertools import product
from typing import NamedTuple

import pandas as pd


class Cell(NamedTuple):
    seed: int
    batch: int
    lr: float
    clip: float


def sweep(loss, *, seeds=range(3), batches=(32, 64), lrs=(1e-3, 1e-2), clips=(1.0, math.inf)):
    """Finished runs of a grid, `loss` of each."""
    cells = [Cell(*values) for values in product(seeds, batches, lrs, clips)]
    table = pd.DataFrame(cells, columns=Cell._fields)
    return table.assign(status="done", val_loss=[loss(cell) for cell in cells])
