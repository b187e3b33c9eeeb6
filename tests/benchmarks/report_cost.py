"""Measure seconds and memory of a report on 200 runs of 5,000 steps, against their limits.

python tests/benchmarks/report_cost.py
"""

import itertools
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from scaling.storage.rows import Row, write_row
from scaling.storage.tables import write_part

BATCHES, LRS, CLIPS, SEEDS = (16, 32, 64, 128), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (0.5, math.inf), 5
STEPS = 5_000
SECONDS, GIGABYTES = 60.0, 2.0


def write(folder: Path, batch: int, lr: float, clip: float, seed: int) -> None:
    """A run as training leaves it, with a loss that is a bowl around the best lr."""
    rng = np.random.default_rng([batch, seed, round(1e6 * lr)])
    norms = np.exp(0.3 * rng.standard_normal(STEPS))
    coefficient = np.minimum(1, clip / norms)
    loss = 2 + (math.log(lr) - math.log(1e-3 * (batch / 32) ** 0.5)) ** 2 / 20
    losses = loss + 3 * np.exp(-np.arange(STEPS) / 500) + 0.05 * rng.standard_normal(STEPS)
    run = f"batch={batch},lr={lr:g},clip={clip:g},seed={seed}-{rng.integers(2**40):012x}"
    steps = {
        "step": np.arange(STEPS), "lr": np.full(STEPS, lr), "train_loss": losses,
        "grad_norm_pre_clip": norms, "grad_norm_post_clip": norms * coefficient,
        "clip_coefficient": coefficient, "update_norm": lr * norms, "decay_norm": lr * norms / 10,
        "param_norm": norms + 10, "clipped": coefficient < 1, "skipped": np.zeros(STEPS, bool),
    }  # fmt: skip
    at = np.arange(0, STEPS + 1, 250)
    epochs = {"step": at, "val_loss": loss + 3 * np.exp(-at / 500), "epoch": at // 250}
    measured = {
        "val_loss": loss + 0.01 * rng.standard_normal(), "val_loss_se": 0.004, "steps": STEPS,
        "uniform_loss": 4.0, "unigram_loss": 3.0, "bigram_loss": 2.5, "seconds": 100.0,
        "clip_percent": 100 * (coefficient < 1).mean(), "update_norm": lr * norms.mean(),
        "clip_coefficient_cv": coefficient.std() / coefficient.mean(),
        "grad_norm_pre_clip": norms.mean(), "grad_norm_post_clip": (norms * coefficient).mean(),
    }  # fmt: skip
    write_row(
        Row(
            study=folder.name, run=run, digest=run[-12:], status="done", model="nano_transformer",
            data="pydoc", optimizer="adamw", protocol="steps",
            config={"batch": batch, "lr": lr, "clip": clip, "seed": seed, "steps": STEPS},
            measured={key: float(value) for key, value in measured.items()},
        ),
        _made(folder / run),
    )  # fmt: skip
    write_part(folder / run / "steps", steps, 0)
    write_part(folder / run / "epochs", epochs, 0)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        study = Path(place, "many")
        for cell in itertools.product(BATCHES, LRS, CLIPS, range(SEEDS)):
            write(study, *cell)
        count = sum(1 for _ in os.scandir(study))
        start = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "scaling.report", str(study)], check=True, capture_output=True
        )
        seconds = time.monotonic() - start
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # KiB on Linux
    print(f"report on {count} runs x {STEPS} steps: {seconds:.1f} s (at most {SECONDS:.0f}), "
          f"{gigabytes:.2f} GiB (at most {GIGABYTES:.0f})")  # fmt: skip
    sys.exit(not (seconds <= SECONDS and gigabytes <= GIGABYTES))
