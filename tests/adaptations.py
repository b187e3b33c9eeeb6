"""Simulated runs of adaptation with known gains, norms and stops."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from scaling.studies.sweep_tables import SweepTables

WINDOWS = 128


def made_up(
    *,
    seeds: int = 4,
    folds: int = 3,
    batches: tuple[int, ...] = (16, 32, 64),
    growth: int | None = None,
    shared: bool = False,
    passes: int = 12,
    gain: Callable[[dict], float] = lambda run: 0.0,
    slope: Callable[[dict], float] = lambda run: 0.0,
    spread: Callable[[dict], float] = lambda run: 0.1,
    seconds: Callable[[dict], float] = lambda run: 1.0,
    entropy: Callable[[dict], float] = lambda run: 0.5,
    stop: Callable[[dict], int | None] = lambda run: None,
    observe_only: bool = False,
    level: Callable[[dict], float] = lambda run: 1.0,
) -> SweepTables:
    """Runs of several batch sizes, and of one that grows, over folds and seeds.

    Each is a function of the run: `gain` in accuracy, `slope` of the log norm over all passes,
    `spread` of norms, entropies and diversities over mini-batches and passes, `seconds` of a pass,
    `entropy` of the query at the end (1 at the start), `stop` after a pass, `level` of the norm.
    With `shared` a fold has the same windows for all seeds.
    """
    rng = np.random.default_rng(0)
    rows, epochs, steps = [], [], []
    arms = [(batch, None) for batch in batches] + ([(batches[0], growth)] if growth else [])
    for number, ((batch, last), seed, fold) in enumerate(
        itertools.product(arms, range(seeds), range(folds))
    ):
        run = {"batch": batch, "seed": seed, "fold": fold, "growth": last}
        name = {"study": "s", "run": f"r{number}"}
        source = 0.7 + 0.01 * np.sin(seed) + 0.002 * fold
        rule = stop(run)
        end = passes if rule is None or observe_only else rule
        wide, taken = spread(run), 0
        for done in range(end + 1):
            part = done / passes
            line = name | {"epoch": done - 1, "passes": float(done), "step": taken}
            for split in ("query", "val", "source"):
                change = 0.0 if split == "source" else gain(run) * part
                noise = 0.002 * rng.standard_normal() * (done > 0)
                line |= {f"{split}_accuracy": source + change + noise}
                line |= {f"{split}_won": 3 + round(change * WINDOWS), f"{split}_lost": 3.0}
                line |= {f"{split}_{key}": source for key in ("f1", "mcc", "loss")}
            line |= {"query_entropy": 1 + (entropy(run) - 1) * part, "query_diversity": 0.9}
            line |= {"query_confidence": 0.8, "query_largest_share": 0.3, "resets": 0.0}
            norm = level(run) * math.exp(slope(run) * part)
            line["query_grad_norm"] = norm / 2 if done % 10 == 0 or done == end else math.nan
            if done:
                line |= {"pass_seconds": seconds(run), "pass_memory_mib": 300.0}
                for key, mean in (("entropy", 0.8), ("diversity", 0.9)):
                    line[f"pass_{key}"] = mean + wide * rng.standard_normal() / 10
                    line[f"pass_{key}_sd"] = wide
            epochs.append(line)
            for _ in range(math.ceil(WINDOWS / batch) if done < end else 0):
                luck = math.exp(wide * rng.standard_normal())
                step = {"step": taken, "grad_norm_pre_clip": norm * luck, "skipped": False}
                steps.append(name | step | {"gradient_cosine": -0.2 + wide * (luck - 1) / 9})
                taken += 1
        mine = [line for line in epochs if line["run"] == name["run"]]
        best = max(mine, key=lambda line: line["query_accuracy"])
        rows.append(
            name
            | {"batch": batch, "lr": 1e-3, "clip": np.inf, "seed": seed, "fold": np.nan,
               "status": "done", "model": "tcn", "data": "flows", "optimizer": "adamw",
               "protocol": "epochs", "duration": passes, "data.fold": fold, "data.growth": last,
               "query_accuracy": mine[-1]["query_accuracy"],
               "val_accuracy": mine[-1]["val_accuracy"],
               "val_loss": 0.5, "digest": name["run"],
               "best_accuracy": 0.97,
               "statistics_query_accuracy": source + 0.01 + 0.001 * np.cos(seed),
               "query_checksum": 10 * fold + (0 if shared else seed),
               "query_windows": WINDOWS, "heldout_windows": WINDOWS, "source_windows": WINDOWS,
               "oracle_query_accuracy": best["query_accuracy"], "oracle_passes": best["passes"],
               "stopped_pass": math.nan if rule is None else rule,
               "stopped_by_collapse": float(rule is not None), "stopped_by_patience": 0.0}
        )  # fmt: skip
    found = SweepTables(pd.DataFrame(rows))
    vars(found).update(epochs=pd.DataFrame(epochs), steps=pd.DataFrame(steps))
    vars(found).update(layer_epochs=pd.DataFrame(), windows=pd.DataFrame())
    return found
