"""The root keys of a run: their types and limits; conf/config.yaml says what they mean."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from scaling.config.scales import FileConfigSource

DURATIONS = ("steps", "epochs", "examples")
GROUPS = ("model", "data", "optimizer", "schedule", "callbacks", "trainer", "logger")
OPTIONAL = ("adaptation", "federation")  # groups that may be null


@dataclass
class Run:
    """The root of every config. Types are defined here, values only in conf/."""

    study: str = MISSING
    batch: int = MISSING
    lr: float = MISSING
    clip: float | None = MISSING
    seed: int = MISSING
    steps: int | None = MISSING
    epochs: int | None = MISSING
    examples: int | None = MISSING
    default_steps: int = MISSING

    resume: str = MISSING
    fail_fast: bool = MISSING
    dry_run: bool = MISSING
    workers: int | None = MISSING
    save_every: float = MISSING
    threads: int | None = MISSING
    threads_from: float = MISSING

    model: Any = MISSING
    data: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    callbacks: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    adaptation: Any = None
    federation: Any = None


ConfigStore.instance().store(name="schema", node=Run)
# For every YAML folder, including --config-dir. Hydra does not replace this source by its own,
# because the classes have the same name.
SourcesRegistry.instance().types["file"] = FileConfigSource

RESUME = ("missing", "failed", "all")

LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "study": (
        lambda study: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", study) is not None,
        "a folder name of letters, digits, '.', '_' and '-' that starts with a letter or digit",
    ),
    "batch": (lambda batch: batch >= 1, "at least 1 example per step"),
    "lr": (lambda lr: 0 < lr < math.inf, "positive and finite, such as 1e-3"),
    "clip": (lambda clip: clip > 0, "positive; clip=inf turns clipping off"),
    "seed": (lambda seed: 0 <= seed < 2**32, "a whole number from 0 to 2**32 - 1"),
    "steps": (lambda steps: steps >= 1, "at least 1 step; steps=null leaves it to default_steps"),
    "epochs": (lambda epochs: epochs >= 1, "at least 1 pass over the training data"),
    "examples": (lambda examples: examples >= 1, "at least 1 training example"),
    "default_steps": (lambda steps: steps >= 1, "at least 1 step"),
    "resume": (lambda resume: resume in RESUME, f"one of {', '.join(RESUME)}"),
    "workers": (
        lambda workers: workers >= 0,
        "a number of processes; 0 is the command's own, null leaves it to the launcher",
    ),
    "save_every": (lambda seconds: seconds >= 0, "a number of seconds, at least 0"),
    "threads": (lambda threads: threads >= 1, "at least 1; null leaves it to threads_from"),
    "threads_from": (lambda work: work >= 0, "at least 0; threads=1 keeps all runs on one thread"),
}


def protocol(config: Mapping[str, Any]) -> tuple[str, int]:
    """The fixed duration and its length, such as `("steps", 300)`."""
    for key in DURATIONS:
        if config[key] is not None:
            return key, config[key]
    return "steps", config["default_steps"]


def clip(config: Mapping[str, Any]) -> float:
    """The largest gradient norm; inf without clipping."""
    return math.inf if config["clip"] is None else float(config["clip"])
