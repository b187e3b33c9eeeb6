"""Gradient norms of folds that stop early, with a known trend."""

import numpy as np
import pandas as pd
from scipy import signal


def leaving(
    rng: np.random.Generator, *, folds: int, leave: int, log_change: float = 0.0, spikes: float = 0
) -> pd.DataFrame:
    """50 steps of folds whose levels differ; the highest `leave` stop after 6 to 14 steps.

    The log norm is a level (sd 0.6), a straight line to `log_change`, noise (sd 0.15,
    autocorrelation 0.7), and 2 more at a share `spikes` of the steps.
    """
    steps = np.arange(50)
    levels = np.sort(rng.normal(0, 0.6, folds))[::-1]
    white = rng.normal(0, 0.15 * np.sqrt(1 - 0.7**2), (folds, 150))
    noise = signal.lfilter([1], [1, -0.7], white, axis=1)[:, 100:]
    logs = levels[:, None] + noise + log_change * steps / 49
    logs += 2 * (rng.random(logs.shape) < spikes)
    ends = np.full(folds, 50)
    ends[:leave] = rng.integers(6, 15, leave)
    lines = [
        pd.DataFrame({"fold": fold, "step": steps[:end], "gradient_norm": np.exp(logs[fold, :end])})
        for fold, end in enumerate(ends)
    ]
    return pd.concat(lines, ignore_index=True)
