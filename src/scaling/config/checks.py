"""Refuse configs whose values have the right types but make no sense."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from scaling.config.folder import FOLDER
from scaling.config.schema import DURATIONS, LIMITS, OPTIONAL, Run, clip
from scaling.contracts.protocols import howto

# Keys interpolated from others; both must have the same value.
WIRED = {
    "data.batch": "batch",
    "data.microbatches": "trainer.accumulate_grad_batches",
    "optimizer.lr": "lr",
}
MIXED = ("16", "16-mixed", "bf16", "bf16-mixed")
ADAPTS_IN = ("32", "32-true", "bf16", "bf16-mixed")


def check(config: Mapping[str, Any]) -> None:
    """Refuse root keys whose values make no sense.

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
        if got is None and want is not None:
            key = path.rpartition(".")[2]
            raise ValueError(f"{path} is missing; write {key}: ${{{source}}}{howto(path)}")
        if got != want:
            raise ValueError(f"{path}={got} must be {source}={want}; set {source} instead")


# Hydra keys that have no effect here, and the only value that each may have.
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
    """Refuse keys of Hydra that have no effect here, such as `hydra.run.dir`.

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
                else "runs are in multirun/<study> below the current directory; start the command "
                "in another directory, or set study=..."
            )
            raise ValueError(f"hydra.{path}={value} has no effect here; {remedy}")
    for source in _at(node, "runtime.config_sources") or ():
        if source["schema"] == "file":
            _check_names(Path(source["path"]))


def _check_names(folder: Path) -> None:
    """Refuse a user's file that Hydra would not read because the package has one of that name."""
    for file in sorted(FOLDER.rglob("*.yaml")):
        name = file.relative_to(FOLDER)
        if (folder / name).is_file() and not (folder / name).samefile(file):
            raise ValueError(
                f"{folder / name} would not be read, because this package also has a {name}; "
                "rename it"
            )


def check_groups(config: Mapping[str, Any]) -> None:
    """Refuse incompatible groups, before each is checked separately.

    Raises:
        ValueError: naming the group and the remedy.
    """
    adapts, federates = (config.get(group) is not None for group in OPTIONAL)
    data = config.get("data") or {}
    if not adapts:
        if federates:
            raise ValueError(
                "federation trains the source model of an adaptation, but adaptation is null; set "
                "one, such as adaptation=entropy, or leave federation out"
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
            "whose gradients are computed without a loss scale"
        )
    every = trainer.get("check_val_every_n_epoch", 1)
    if every != 1:
        raise ValueError(
            f"trainer.check_val_every_n_epoch={every} must be 1 with an adaptation, which is "
            "evaluated, and may stop, after every pass"
        )


def _check_trainer(trainer: Mapping[str, Any], optimizer: Mapping[str, Any], clip: float) -> None:
    """Refuse trainer settings that Lightning accepts but that do not work here."""
    devices = trainer.get("devices", 1)
    if devices not in (1, "1", [0]):
        raise ValueError(
            f"trainer.devices={devices} must be 1; norms are computed on one device, and a sweep "
            "trains other cells on the others"
        )
    nodes = trainer.get("num_nodes", 1)
    if nodes != 1:
        raise ValueError(
            f"trainer.num_nodes={nodes} must be 1; hydra/launcher=slurm trains the cells on "
            "several machines"
        )
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps"):
        if trainer.get(key, 1) < 1:
            raise ValueError(f"trainer.{key}={trainer[key]} must be at least 1")
    precision = str(trainer.get("precision", "32"))
    if precision == "16-true":
        raise ValueError(
            "trainer.precision=16-true must be 16-mixed, bf16-mixed, bf16-true or 32-true; in 16 "
            "bits the divisor of an optimizer underflows to 0, and updates can be of any size"
        )
    if precision in MIXED and optimizer.get("fused") and math.isfinite(clip):
        raise ValueError(
            f"trainer.precision={precision} needs optimizer.fused=false; Lightning does not clip "
            "for fused optimizers in mixed precision"
        )


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None if absent."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None  # type: ignore[assignment]
    return config
