"""Tables of sweeps with any grid, without files."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

FEW = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FIXED = {
    "model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 300,
    "study": "s", "status": "done", "uniform_loss": 4.85, "bigram_loss": 2.32,
    "trigram_loss": 1.71,
}  # fmt: skip


def grid(
    batches: Iterable[int] = (16, 32, 64, 128),
    lrs: Iterable[float] = FEW,
    *,
    seeds: int = 2,
    clips: Iterable[float] = (1.0,),
) -> pd.DataFrame:
    """A row for each run of a grid; the loss is a bowl whose best lr is 1e-3 (batch / 64)^0.5."""
    noise = np.random.default_rng(0)
    lines = []
    for clip in clips:
        for batch in batches:
            for lr in map(float, lrs):
                z = np.log(lr / 1e-3 / (batch / 64) ** 0.5)
                for seed in range(seeds):
                    loss = min(2.2 + z**2 / 16, 5.0) + noise.normal(0, 0.01)
                    lines.append(
                        {"batch": batch, "lr": lr, "clip": clip, "seed": seed, "val_loss": loss,
                         "clip_percent": float(np.clip(50 - 20 * z, 0, 100)),
                         "grad_norm_pre_clip": float(np.exp(-0.3 * z)), "update_norm": 70 * lr}
                    )  # fmt: skip
    rows = pd.DataFrame(lines).assign(**FIXED)
    return rows.assign(run=[f"run {i}" for i in range(len(rows))])


def at(rows: pd.DataFrame, **where: float) -> pd.Series:
    """Which rows have these values."""
    chosen = pd.Series(True, index=rows.index)
    for key, value in where.items():
        chosen &= rows[key] == value
    return chosen
