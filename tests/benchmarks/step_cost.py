"""Measure what Lightning, the callbacks and the logger add to a step of a plain PyTorch loop.

Both train the 800K transformer of docs/guides/data.md (WikiText-2) on the same batches, in one
process, alternating after each step, so other load on the machine affects both equally. Our step
is timed from one batch to the next, so everything in between counts: hooks, statistics, flushes,
logging. The callbacks measure the time of their statistics. Exit code 1 if, at batch 32, the
statistics take more than 3 % of a step, or everything together more than 5 %.

    python tests/benchmarks/step_cost.py [--steps 200] [--data wikitext2]
"""

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from scaling.config.cell import Cell, make_cell
from scaling.config.folder import FOLDER
from scaling.datamodules.batches import Batches
from scaling.runs import run

WARM = 20  # first steps of both, which are not counted
LIMIT, STATISTICS = 1.05, 3.0  # ratio to the plain loop; percent of a step
SHARES = ("statistics_percent", "tails_percent")  # columns of a row
SETTINGS = ("model.d_model=128", "lr=1e-3", "clip=1.0")


class PlainLoop:
    """The same step with nothing around it."""

    def __init__(self, cell: Cell):
        _, learner, _ = run._build(cell, Path(tempfile.mkdtemp()), bar=False)
        self.net, self.optimizer = learner.net, learner.configure_optimizers()["optimizer"]
        self.parameters = list(self.net.parameters())
        self.clip = cell.config["clip"]

    def step(self, batch) -> None:
        loss = self.net.losses(batch).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()


class Turns:
    """Batches; the plain loop trains on each before it is handed over."""

    def __init__(self, batches: Batches, loop: PlainLoop):
        self.batches, self.loop = batches, loop
        self.seconds: dict[str, list[float]] = {"ours": [], "plain": []}

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        for batch in self.batches:
            start = time.perf_counter()
            self.loop.step(batch)
            self.seconds["plain"].append(time.perf_counter() - start)
            start = time.perf_counter()
            yield batch
            self.seconds["ours"].append(time.perf_counter() - start)


def composed(*overrides: str) -> Cell:
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        cfg = compose("config", [*SETTINGS, *overrides])
    return make_cell(cfg, overrides, {})


def measure(name: str, steps: int, *overrides: str) -> tuple[float, float]:
    """Print the cost of a step; return the ratio of the means, and the statistics in percent."""
    cell = composed(f"steps={steps + WARM}", *overrides)
    data, learner, trainer = run._build(cell, Path(tempfile.mkdtemp()), bar=False)
    turns = Turns(data.batches, PlainLoop(cell))
    trainer.fit(learner, turns)
    plain, ours = (np.array(turns.seconds[which][WARM:steps]) for which in ("plain", "ours"))
    ratios = [ours[i::5].mean() / plain[i::5].mean() for i in range(5)]  # five interleaved parts
    ratio, error = ours.mean() / plain.mean(), np.std(ratios, ddof=1) / len(ratios) ** 0.5
    columns = {}
    for callback in trainer.callbacks:
        columns |= callback.columns() if hasattr(callback, "columns") else {}
    shares = [value for key, value in columns.items() if key.endswith(SHARES)]
    # a share of the whole fit, which includes the steps of the plain loop
    statistics = sum(shares) * (plain.mean() + ours.mean()) / plain.mean()
    print(
        f"{name:<10} plain {1e3 * np.median(plain):6.1f} ms   ours {1e3 * np.median(ours):6.1f} ms"
        f"   ratio of means {ratio:.3f} +- {error:.3f}"
        f"   statistics {statistics:.1f} % of a plain step",
        flush=True,
    )
    return ratio, statistics


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    real = "wikitext2" if "SCALING_DATA" in os.environ else "pydoc"
    parser.add_argument("--data", default=real, help="of the same shape; no number depends on it")
    given = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    data = f"data={given.data}"
    ratio, statistics = measure("batch 32", given.steps, data, "batch=32")
    measure("batch 8", given.steps, data, "batch=8")
    measure("with tails", max(given.steps, 250), data, "batch=32", "callbacks=tail_shape")
    return int(ratio > LIMIT or statistics > STATISTICS)


if __name__ == "__main__":
    sys.exit(main())
