"""The best learning rate of each batch size as plain analyses report it, without an interval."""

import math
from dataclasses import dataclass

import pandas as pd

from scaling.analysis.sweep_curves import curves_of


@dataclass(frozen=True)
class NaiveOptima:
    """The best lr of one batch size and clip by three plain methods; nan if a method finds none."""

    batch: float
    clip: float
    argmin: float
    three: float  # minimum of the parabola in log lr through it and its neighbours
    whole: float  # minimum of the least-squares parabola through all learning rates


def naive_optima(rows: pd.DataFrame) -> tuple[NaiveOptima, ...]:
    """The optima that plain analyses report, sorted by batch and clip.

    Their differences show how much the optimum depends on the assumed shape.

    Args:
        rows: as for `optimum`; a batch size and clip without a loss is left out.

    Raises:
        ValueError: if a column is absent.
    """
    answers = []
    for sweep in curves_of(rows):
        for batch, curve in sweep.of_batch.items():
            if len(curve.x):
                inner = 0 < curve.best < len(curve.x) - 1
                three = curve.near(3).bottom(2).place if inner else math.nan
                lrs = curve.lr[curve.best], math.exp(three), math.exp(curve.bottom(2).place)
                answers.append(NaiveOptima(batch, sweep.clip, *map(float, lrs)))
    return tuple(sorted(answers, key=lambda one: (one.batch, one.clip)))
