"""What Lightning, the callbacks and the logger add to a step, beside a plain PyTorch loop.

Both train the 800K transformer of the README's WikiText-2 run on the same batches, in one process,
in turns of one step each: whatever else the machine does meets both alike. The clock of our step
runs from the moment a batch is handed over to the moment the next one is asked for, so everything
between two batches counts: hooks, statistics, flushes, logging.

    python tests/benchmarks/step_cost.py [STEPS]
"""

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir

from scaling import cells, config, train
from scaling.datamodules.batches import Batches

WARM = 20  # first steps of both, which are not counted
SETTINGS = ("model.d_model=128", "batch=32", "lr=1e-3", "clip=1.0")


class PlainLoop:
    """The same step with nothing around it."""

    def __init__(self, cell: cells.Cell):
        _, learner, _ = train._build(cell, Path(tempfile.mkdtemp()), bar=False)
        self.net, self.optimizer = learner.net, learner.configure_optimizers()
        self.parameters = list(self.net.parameters())
        self.clip = cell.config["clip"]

    def step(self, batch) -> None:
        loss = self.net.losses(batch).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()


class Turns:
    """Batches that, before each is handed over, are used by the plain loop too."""

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


def composed(*overrides: str) -> cells.Cell:
    with initialize_config_dir(str(config.FOLDER), version_base="1.3"):
        cfg = compose("config", [*SETTINGS, *overrides])
    return cells.cell(cfg, overrides, {})


def measure(name: str, steps: int, *overrides: str) -> None:
    cell = composed(f"steps={steps + WARM}", *overrides)
    data, learner, trainer = train._build(cell, Path(tempfile.mkdtemp()), bar=False)
    turns = Turns(data.batches, PlainLoop(cell))
    with train._known_warnings():
        trainer.fit(learner, turns)
    plain, ours = (np.array(turns.seconds[which][WARM:steps]) for which in ("plain", "ours"))
    ratios = [ours[i::5].mean() / plain[i::5].mean() for i in range(5)]  # five interleaved parts
    error = np.std(ratios, ddof=1) / len(ratios) ** 0.5
    print(
        f"{name:<34} plain {1e3 * np.median(plain):6.1f} ms   ours {1e3 * np.median(ours):6.1f} ms"
        f"   ratio of means {ours.mean() / plain.mean():.3f} +- {error:.3f}",
        flush=True,
    )
    norms = next(c for c in trainer.callbacks if hasattr(c, "columns")).columns()
    if "statistics_percent" in norms:
        print(f"{'':<34} GradientNorms says of itself: {norms['statistics_percent']:.2f} %")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    L.seed_everything(0, verbose=False)
    text = "data=wikitext2" if "wikitext2" in sys.argv else "data=pydoc"
    measure("callbacks and TensorBoard", steps, text)
    measure("a step four times smaller", steps, text, "batch=8")


if __name__ == "__main__":
    main()
