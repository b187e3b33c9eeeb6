"""Simulated sweeps, written as runs would write them."""

import math
from pathlib import Path

import pandas as pd

from scaling.storage.rows import Row, write_row


def bowl(batch: int, lr: float) -> float:
    """A loss whose best lr is 1e-3 times the root of batch / 8."""
    return 2.0 + (math.log10(lr) - math.log10(1e-3 * (batch / 8) ** 0.5)) ** 2


def write_sweep(
    folder: Path, *, seeds=(0,), clips=(1.0,), lrs=(1e-4, 1e-3, 1e-2), **columns
) -> Path:
    """Write a row for each of batch 8, 16 x `lrs` x `clips` x `seeds` below `folder`."""
    for batch in (8, 16):
        for lr in lrs:
            for clip in clips:
                for seed in seeds:
                    run = f"batch={batch},lr={lr},clip={clip},seed={seed}"
                    config = {"batch": batch, "lr": lr, "clip": clip, "seed": seed}
                    measured = {
                        "val_loss": bowl(batch, lr) + 0.01 * seed,
                        "unigram_loss": 3.0,
                        "bigram_loss": 2.5,
                        "uniform_loss": 4.0,
                        "clip_percent": 40.0,
                        "steps": 10,
                    }
                    settings = {"status": "done", "measured": measured} | columns
                    row = Row(
                        study=folder.name, run=run, digest=run, model="m", data="d", optimizer="o",
                        protocol="steps", config=config, **settings,
                    )  # fmt: skip
                    (folder / run).mkdir(parents=True)
                    write_row(row, folder / run)
    return folder


def published(name: str) -> pd.DataFrame:
    """A published table; an empty clip is no clipping."""
    folder = Path(__file__).parents[1] / "notebooks" / "data" / "published"
    table = pd.read_csv(folder / f"{name}.csv")
    return table.fillna({"clip": math.inf}) if "clip" in table else table
