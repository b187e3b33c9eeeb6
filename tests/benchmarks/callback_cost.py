"""Measure what each callback that works at some steps only adds to the steps of a run.

One fit has all default callbacks, and the callback in question at every second step. The processor
time of its steps minus that of the steps between them, divided by how often it works by default, is
its share of a step: both kinds alternate in one process, so that other load affects both equally.

    python tests/benchmarks/callback_cost.py [--steps 60] [NAME ...]

Prints a row of a table for each callback in `conf/callbacks` with a key `every`: percent of a step
of the 800K transformer (batch 32), and of the multilayer perceptron (4 layers of 256, batch 64).
Exit code 1 if any adds more than 3 % of the first, or 10 % of the second.
"""

import argparse
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scaling.config.cell import make_cell
from scaling.config.folder import FOLDER
from scaling.runs import denormals, run

WARM = 10  # first steps, which are not counted
MODELS = {  # name -> overrides, limit in percent of a step, steps for each one of the transformer
    "transformer": (("model.d_model=128", "batch=32"), 3.0, 1),
    "perceptron": (("model=mlp", "data=digits", "optimizer=adam", "batch=64"), 10.0, 20),
}


class Timer(L.Callback):
    """Processor time at the start of each step; it must be the first callback."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seconds.append(time.process_time())


def options() -> dict[str, tuple[str, int]]:
    """Callbacks with a key `every`: name -> the option of `callbacks` that has it, and the key."""
    found: dict[str, tuple[str, int]] = {}
    for file in sorted((Path(FOLDER) / "callbacks").glob("*.yaml")):
        for name, node in OmegaConf.load(file).items():
            if OmegaConf.is_dict(node) and "every" in node and file.stem != "adaptation":
                found.setdefault(str(name), (file.stem, int(node["every"])))
    return found


def share(name: str, option: str, every: int, model: str, steps: int) -> tuple[float, float]:
    """What a callback adds, in percent of a step, with the standard error."""
    overrides, _, factor = MODELS[model]
    steps *= factor
    nodes = [f"callbacks={option}", f"callbacks.{name}.every=2", f"steps={steps + WARM}"]
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        cfg = compose("config", [*overrides, *nodes])
        if "flush_every" in cfg.callbacks[name]:
            cfg.callbacks[name].flush_every = 1
    cell = make_cell(cfg, [*overrides, *nodes], {})
    data, learner, trainer = run._build(cell, Path(tempfile.mkdtemp()), bar=False)
    timer = Timer()
    trainer.callbacks.insert(0, timer)
    with denormals.flushed():
        trainer.fit(learner, data)
    seconds = np.diff(timer.seconds)[WARM:]
    pairs = seconds[: len(seconds) // 2 * 2].reshape(-1, 2)  # WARM is even: the first works
    added = pairs[:, 0] - pairs[:, 1]
    plain = np.median(pairs[:, 1])
    middle = np.sort(added)[len(added) // 10 : -(len(added) // 10)]  # without other programs' turns
    error = middle.std(ddof=1) / len(middle) ** 0.5
    return 100 * middle.mean() / plain / every, 100 * error / plain / every


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    beyond = False
    for name, (option, every) in options().items():
        if given.names and name not in given.names:
            continue
        shares = {model: share(name, option, every, model, given.steps) for model in MODELS}
        beyond |= any(shares[model][0] > MODELS[model][1] for model in MODELS)
        cells = [f"{value:.1f} +- {error:.1f}" for value, error in shares.values()]
        print(f"| `{name}` | {every} | {' | '.join(cells)} |", flush=True)
    return int(beyond)


if __name__ == "__main__":
    sys.exit(main())
