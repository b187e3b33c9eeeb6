"""Measure what layer statistics at every mini-batch cost a small net, against a plain PyTorch loop.

A multilayer perceptron (784 inputs, 4 hidden layers of 256, 10 outputs; Adam, fused) trains on
batches of 64 from tensors in memory, on one thread, as the workers of a sweep do. Blocks of plain
steps and of ours alternate in one process, so that other load on the machine affects both equally
and the cache is warm for both. The plain loop fetches the same rows. Time is processor time, which
other jobs affect only through the caches. Our time runs from the first batch of an epoch to the
first of the next, minus the plain blocks: it includes hooks, statistics, flushes and the ends of
epochs.

Adam's moments of dead units decay into denormal numbers, which slow a processor down several times.
A run flushes them to zero (`scaling.runs.denormals`); an ordinary loop does not. The limit of 1.6
is for the ratio of a whole run with `callbacks=layer_epochs`, including its table of steps and
TensorBoard, to an ordinary loop; exit code 1 above it. The ratios printed before it are to a plain
loop that flushes denormals, too: they show the cost of hooks and statistics.

    python tests/benchmarks/layer_cost.py [--epochs 4]
"""

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from scaling.callbacks.checkpoint import Resumable
from scaling.callbacks.heartbeat import Heartbeat
from scaling.callbacks.signal_handlers import OwnHandlers
from scaling.config.cell import build
from scaling.config.folder import FOLDER
from scaling.datamodules.batches import Batches
from scaling.models.learner import Learner
from scaling.runs import run, signals
from scaling.seeds import generator_for

LIMIT = 1.6  # ratio to the plain loop
BLOCK = 67  # steps of a turn; 14 turns are an epoch
EXAMPLES, BATCH = BLOCK * 14 * 64, 64
X, Y = torch.randn(EXAMPLES, 784), torch.randint(10, (EXAMPLES,))


class Perceptron(nn.Sequential):
    """The net that the limit is set for."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
            *(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
            nn.Linear(256, 10),
        )

    def losses(self, batch):
        return nn.functional.cross_entropy(self(batch[0]), batch[1], reduction="none")


def learner() -> Learner:
    optimizer = partial(torch.optim.Adam, lr=1e-3, betas=(0.9, 0.999), fused=True)
    constant = partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    return Learner(Perceptron(), optimizer=optimizer, schedule=constant, seed=0)


def fetch(rows):
    return X[rows], Y[rows]


def order(epoch: int):
    return torch.randperm(EXAMPLES, generator=generator_for("order", 0, epoch))


class Turns:
    """An epoch's batches; the plain loop trains on each block before it is handed over.

    Args:
        flushes: whether the plain loop flushes denormals to zero, too.
    """

    def __init__(self, *, flushes: bool) -> None:
        self.flushes = flushes
        self.batches = Batches(fetch, order=order, examples=EXAMPLES, batch=BATCH, microbatches=1)
        own = learner()
        self.net, self.optimizer = own.net, own.configure_optimizers()["optimizer"]
        self.plain: list[float] = []  # seconds of each block
        self.ours: list[float] = []
        self.begins: list[tuple[float, float]] = []  # of each epoch: time, seconds of plain blocks

    @property
    def sampler(self) -> "Turns":
        return self

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        self.begins.append((time.process_time(), sum(self.plain)))
        rows = order(self.batches.epoch)
        batches = iter(self.batches)
        for part in rows.split(BLOCK * BATCH):
            torch.set_flush_denormal(self.flushes)
            start = time.process_time()
            for own in part.split(BATCH):
                self.optimizer.zero_grad()
                self.net.losses(fetch(own)).mean().backward()
                self.optimizer.step()
            self.plain.append(time.process_time() - start)
            torch.set_flush_denormal(True)
            start = time.process_time()
            for _ in range(BLOCK):
                yield next(batches)
            self.ours.append(time.process_time() - start)


def callbacks(folder: Path, *choices: str, only: str | None) -> list[L.Callback]:
    """The callbacks of a run with these settings, or only one of them."""
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        nodes = OmegaConf.to_container(compose("config", [*choices]).callbacks)
    chosen = [
        build(node, f"callbacks.{name}") for name, node in nodes.items() if only in (None, name)
    ]
    house = [OwnHandlers(signals.raise_dropped), Heartbeat(folder, seconds=run.BEAT)]
    return [*chosen, *house, Resumable(folder / run.CHECKPOINT, seconds=30, threads=1)]


def measure(
    name: str, epochs: int, *choices: str, only: str | None = None, flushes: bool = True
) -> float:
    """Print the cost of a step and an epoch against plain ones; return the larger ratio.

    Args:
        name: of the settings.
        epochs: measured after a first one, which does not count.
        choices: of callbacks; empty for Lightning without callbacks.
        only: the one callback to keep, without a logger; None for all.
        flushes: whether the plain loop flushes denormals to zero, too.
    """
    folder = Path(tempfile.mkdtemp())
    turns = Turns(flushes=flushes)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=epochs + 2,  # the end of an epoch is seen when the next begins
        callbacks=callbacks(folder, *choices, only=only) if choices else [],
        logger=L.pytorch.loggers.TensorBoardLogger(folder) if choices and not only else False,
        default_root_dir=str(folder),
        enable_checkpointing=bool(choices),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
    trainer.fit(learner(), turns)
    first, last = 14, 14 * (epochs + 1)
    plain, ours = (np.array(seconds[first:last]) for seconds in (turns.plain, turns.ours))
    parts = np.array([ours[i::7].sum() / plain[i::7].sum() for i in range(7)])
    times, before = np.array(turns.begins)[1 : epochs + 2].T
    whole = (np.diff(times) - np.diff(before)) / np.diff(before)
    step, error = ours.sum() / plain.sum(), parts.std(ddof=1) / len(parts) ** 0.5
    print(
        f"{name:<34} plain {1e3 * np.median(plain) / BLOCK:5.2f} ms"
        f"   ours {1e3 * np.median(ours) / BLOCK:5.2f} ms   ratio {step:.3f} +- {error:.3f}"
        f"   of epochs {whole.mean():.3f} ({whole.min():.3f} to {whole.max():.3f})",
        flush=True,
    )
    return max(step, float(whole.mean()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    measure("Lightning alone", given.epochs)
    measure("layer_epochs alone", given.epochs, "callbacks=layer_epochs", only="layer_epochs")
    measure("tail_shape alone", given.epochs, "callbacks=tail_shape", only="tail_shape")
    measure("callbacks=default", given.epochs, "callbacks=default")
    measure("callbacks=layer_epochs", given.epochs, "callbacks=layer_epochs")
    whole = measure(
        "the same, plain loop as written", given.epochs, "callbacks=layer_epochs", flushes=False
    )
    return int(whole > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
