"""Simulated losses of steps; the larger the batch of a run, the faster it is."""

import math

import numpy as np
import pandas as pd

LEAST, CRITICAL = 20.0, 16.0  # decay time of an infinite batch, and the batch with twice that


def curve(losses, run: str = "a", **columns) -> pd.DataFrame:
    table = pd.DataFrame({"study": "s", "run": run, "step": range(len(losses))})
    return table.assign(train_loss=losses, **columns)


def exponential(run: str, end: float, time: float, *, steps: int = 200) -> pd.DataFrame:
    """A loss that falls from 4 to `end` with a decay time in steps."""
    return curve(end + (4 - end) * np.exp(-np.arange(steps) / time), run)


def race(
    *, draw: int = 0, jitter: float = 0.01, noise: float = 0.0, batches=(8, 16, 32, 64)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and losses of runs whose time goes as 1 + CRITICAL / batch, shortest at lr 1e-2.

    Times vary by `jitter` in log, and losses by `noise` over the root of the batch.
    """
    draws = np.random.default_rng(draw)
    rows, curves = [], []
    for batch in batches:
        for lr, slower in ((1e-3, 3.0), (1e-2, 1.0), (1e-1, 2.0)):
            for seed in range(3):
                run = f"{batch} {lr} {seed}"
                rows.append({"study": "s", "run": run, "batch": batch, "lr": lr, "seed": seed})
                time = slower * LEAST * (1 + CRITICAL / batch) * math.exp(jitter * draws.normal())
                own = exponential(run, 2.0, time)
                shaken = own["train_loss"] + noise / math.sqrt(batch) * draws.normal(size=len(own))
                curves.append(own.assign(train_loss=shaken))
    return pd.DataFrame(rows).assign(status="done"), pd.concat(curves)
