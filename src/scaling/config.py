"""The root keys of a run: their types, units and limits, and when two configs are the same."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from scaling.precision import rounded

_HERE = Path(__file__).parent
FOLDER = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parents[1] / "conf"
DURATIONS = ("steps", "epochs", "examples")
GROUPS = ("model", "data", "optimizer", "schedule", "callbacks", "trainer", "logger")
OPTIONAL = ("adaptation", "federation")  # groups that may be null


@dataclass
class Run:
    """The root of every config. Types live here, values in conf/, and nowhere else."""

    study: str = MISSING  # names the folder below multirun/ that the rows of a sweep share
    batch: int = MISSING  # examples per optimizer step
    lr: float = MISSING  # peak learning rate
    clip: float | None = MISSING  # ceiling on the gradient's norm; inf and null are no clipping
    seed: int = MISSING  # weights, data order and every other draw
    steps: int | None = MISSING  # optimizer steps
    epochs: int | None = MISSING  # passes over the training data
    examples: int | None = MISSING  # training examples, rounded to whole steps
    default_steps: int = MISSING  # optimizer steps where none of the three is given

    resume: str = MISSING  # which cells of a sweep are trained again: missing, failed or all
    fail_fast: bool = MISSING  # stop a sweep at the first cell that fails
    dry_run: bool = MISSING  # say what would be trained, and train nothing
    workers: int | None = MISSING  # cells trained at a time; null leaves it to the machine
    save_every: float = MISSING  # seconds between checkpoints of a run
    threads: int | None = MISSING  # that a run computes on; null leaves it to threads_from
    threads_from: float = MISSING  # weights x examples x positions from which more than one pays

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
        "a number of processes; 0 is the command's own, null leaves it to the machine",
    ),
    "save_every": (lambda seconds: seconds >= 0, "a number of seconds, at least 0"),
    "threads": (lambda threads: threads >= 1, "at least 1; null leaves it to threads_from"),
    "threads_from": (lambda work: work >= 0, "at least 0; threads=1 keeps all runs on one thread"),
}

# Keys that follow others by interpolation: a run has one value of each.
WIRED = {
    "data.batch": "batch",
    "data.microbatches": "trainer.accumulate_grad_batches",
    "optimizer.lr": "lr",
}
MIXED = ("16", "16-mixed", "bf16", "bf16-mixed")
PRECISIONS = {  # Lightning's other names
    "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true",
}  # fmt: skip
ADAPTS_IN = ("32", "32-true", "bf16", "bf16-mixed")


def check(config: Mapping[str, Any]) -> None:
    """Stop a run whose root keys have the right types but no meaning.

    Raises:
        ValueError: naming the key, its value and the remedy.
    """
    for key in (field.name for field in fields(Run)):
        if key not in config:
            raise ValueError(f"{key} is missing; a run needs it")
    for key, (holds, must) in LIMITS.items():
        value = config[key]
        if value is not None and not holds(value):
            raise ValueError(f"{key}={value} must be {must}")
    given = [key for key in DURATIONS if config[key] is not None]
    if len(given) > 1:
        both = " and ".join(f"{key}={config[key]}" for key in given)
        others = " or ".join(f"{key}=null" for key in given)
        raise ValueError(f"{both} are two durations of one run; set {others}")
    _check_trainer(config["trainer"], config["optimizer"], clip(config))
    for path, source in WIRED.items():
        got, want = _at(config, path), _at(config, source)
        if got != want:
            raise ValueError(f"{path}={got} must be {source}={want}; set {source} instead")


# Keys of Hydra's that mean nothing here, with the only value that each may have.
UNUSED: dict[str, Any] = {
    "run.dir": ".",
    "sweep.dir": ".",
    "sweep.subdir": ".",
    "output_subdir": None,
    "job.chdir": False,
    "job.env_set": {},
    "job.env_copy": [],
}


def check_hydra(node: Mapping[str, Any]) -> None:
    """Stop a command that sets what Hydra would do to a folder or a process, and nobody does here.

    Args:
        node: the config below `hydra`, or a part of it, as plain containers.

    Raises:
        ValueError: naming the key, its value and the remedy.
    """
    for path, only in UNUSED.items():
        if (value := _at(node, path)) not in (None, only):
            remedy = (
                "set variables in the shell, before the command"
                if path.startswith("job.env")
                else "runs lie in multirun/<study> below the current directory, so start the "
                "command in another one, and name the study with study=..."
            )
            raise ValueError(f"hydra.{path}={value} has no meaning here; {remedy}")


def check_groups(config: Mapping[str, Any]) -> None:
    """Stop a run whose groups do not go together, before a single one is looked at.

    Raises:
        ValueError: naming the group and the remedy.
    """
    adapts, federates = (config.get(group) is not None for group in OPTIONAL)
    data = config.get("data") or {}
    if not adapts:
        if federates:
            raise ValueError(
                "federation trains the source model of an adaptation, and there is none; give one, "
                "such as adaptation=entropy, or leave federation out"
            )
        if data.get("train_on") == "query":
            raise ValueError(
                "data.train_on=query needs an adaptation, such as adaptation=entropy; a query has "
                "no labels to train on"
            )
        return
    if "fold" not in data:
        raise ValueError(
            "adaptation needs data with a query, such as data=flows, data=unsw_nb15 or "
            "data=nsl_kdd; with other data leave adaptation out"
        )
    if data["train_on"] != "query":
        raise ValueError(
            f"data.train_on={data['train_on']} must be query with an adaptation; leave it out"
        )
    if not federates:
        raise ValueError(
            "adaptation needs a federation, such as federation=default, which trains the model "
            "that is adapted"
        )
    trainer = config.get("trainer") or {}
    precision = str(trainer.get("precision", "32"))
    if precision not in ADAPTS_IN:
        raise ValueError(
            f"trainer.precision={precision} must be 32-true or bf16-mixed with an adaptation, "
            "whose gradients are taken apart without a scale"
        )
    every = trainer.get("check_val_every_n_epoch", 1)
    if every != 1:
        raise ValueError(
            f"trainer.check_val_every_n_epoch={every} must be 1 with an adaptation, which is "
            "measured and may stop after every pass"
        )


def _check_trainer(trainer: Mapping[str, Any], optimizer: Mapping[str, Any], clip: float) -> None:
    """Settings of Lightning's trainer that it would take, and that mean nothing here."""
    devices = trainer.get("devices", 1)
    if devices not in (1, "1", [0]):
        raise ValueError(
            f"trainer.devices={devices} must be 1; norms are taken on one device, and a sweep uses "
            "others for other cells"
        )
    nodes = trainer.get("num_nodes", 1)
    if nodes != 1:
        raise ValueError(
            f"trainer.num_nodes={nodes} must be 1; hydra/launcher=slurm uses many machines, for "
            "a cell each"
        )
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps"):
        if trainer.get(key, 1) < 1:
            raise ValueError(f"trainer.{key}={trainer[key]} must be at least 1")
    precision = str(trainer.get("precision", "32"))
    if precision == "16-true":
        raise ValueError(
            "trainer.precision=16-true must be 16-mixed, bf16-mixed, bf16-true or 32-true; what an "
            "optimizer divides by is 0 in 16 bits, and its updates are then of any size"
        )
    if precision in MIXED and optimizer.get("fused") and math.isfinite(clip):
        raise ValueError(
            f"trainer.precision={precision} needs optimizer.fused=false; Lightning does not clip "
            "for fused optimizers in mixed precision"
        )


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None  # type: ignore[assignment]
    return config


def protocol(config: Mapping[str, Any]) -> tuple[str, int]:
    """Which duration is fixed, and how long it is: `("steps", 300)`."""
    for key in DURATIONS:
        if config[key] is not None:
            return key, config[key]
    return "steps", config["default_steps"]


def clip(config: Mapping[str, Any]) -> float:
    """The ceiling on the gradient's norm; inf where there is none."""
    return math.inf if config["clip"] is None else float(config["clip"])


def canonical(config: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """The form in which two configs are equal exactly if they are the same run.

    Null clip is inf, a whole float is an int, numbers have 12 significant digits, the duration is
    the one in force, and `data.path` is the fingerprint of the data, wherever they lie. A
    `_target_` of this package is its name alone, so that a module can move; others' keep their
    full path. Left out is what cannot change a result: the study's name, loggers and how often
    they are written to, Hydra's own settings, numbers of workers and threads, accelerator and
    devices, how a clip of inf clips, and where a federation's clients run.

    Args:
        config: resolved, as plain containers.
        fingerprint: identity of the data's content.
    """
    same = ("batch", "lr", "seed", "model", "optimizer", "schedule", "callbacks")
    run = {key: config[key] for key in same} | {"clip": clip(config)}
    run |= dict.fromkeys(DURATIONS) | dict([protocol(config)])
    run["data"] = {k: v for k, v in config["data"].items() if k != "workers"}
    run["data"]["path"] = fingerprint
    for group in OPTIONAL:  # left out where null, so that other runs keep their identity
        if config.get(group) is not None:
            run[group] = {k: v for k, v in config[group].items() if k != "backend"}
    run["trainer"] = _canonical_trainer(config["trainer"], run["clip"])
    return canonical_node(run)


def _canonical_trainer(trainer: Mapping[str, Any], clip: float) -> dict[str, Any]:
    """What of the trainer can change a result, under one name."""
    unused = ("accelerator", "devices", "num_nodes", "log_every_n_steps")
    kept = {key: value for key, value in trainer.items() if key not in unused}
    precision = str(kept.get("precision", "32"))
    kept["precision"] = PRECISIONS.get(precision, precision)
    if math.isinf(clip):  # where it does not matter how
        kept.pop("gradient_clip_algorithm", None)
    return kept


def canonical_node(value: Any) -> Any:
    """The same for a part of a config, which has no clip, duration or data of its own."""
    if isinstance(value, Mapping):
        return {
            str(key): _name(value[key]) if key == "_target_" else canonical_node(value[key])
            for key in sorted(value)
        }
    if isinstance(value, list | tuple):
        return [canonical_node(entry) for entry in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        value = rounded(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def _name(target: Any) -> Any:
    """What a `_target_` is known by: of this package, its name; of any other, its full path."""
    ours = isinstance(target, str) and target.startswith(f"{__package__}.")
    return target.rpartition(".")[2] if ours else target
