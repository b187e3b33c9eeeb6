"""From what was typed to cells: each point of a grid, checked and with its identity."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from scaling import config, results, signatures

# What a run fills in itself, by group.
GIVEN = {
    "model": ("inputs", "outputs", "length"),
    "logger": ("save_dir", "purge_step"),
    "trainer": (
        *("max_steps", "max_epochs", "min_steps", "min_epochs", "gradient_clip_val"),
        *("callbacks", "logger", "default_root_dir", "num_sanity_val_steps"),
        *("enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
        *(
            "fast_dev_run",
            "overfit_batches",
            "limit_train_batches",
            "limit_val_batches",
            "max_time",
        ),
    ),
}


@dataclass(frozen=True)
class Cell:
    """One point of a grid: a config, and all that follows from it before training."""

    config: dict[str, Any]  # resolved, as plain containers
    source: str  # the config as composed, in YAML
    overrides: tuple[str, ...]  # what was typed
    choices: dict[str, str]  # config group -> option
    fingerprint: str  # identity of the data's content
    digest: str
    name: str

    @property
    def folder(self) -> Path:
        """Where the run lives, below the current directory."""
        return Path("multirun", self.config["study"], self.name)


def cell(composed: DictConfig, overrides: Sequence[str], choices: Mapping[str, str | None]) -> Cell:
    """Check a composed config and give it its identity. The data are looked at, not trained on.

    Raises:
        ValueError: naming the key that is unknown, or whose value has the wrong type or no meaning.
        omegaconf.errors.MissingMandatoryValue: for a key that must be given and was not.
    """
    settings: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    known = [field.name for field in fields(config.Run)]
    for key in settings:
        if key not in known:
            raise ValueError(f"{key} is an unknown key; the root keys are {', '.join(known)}")
    for group in config.GROUPS:
        node = settings.get(group)
        if group not in ("callbacks", "logger") and signatures.TARGET not in (node or {}):
            raise ValueError(f"{group}={node} must be one of the options of that group")
        signatures.check(node, group, GIVEN.get(group, ()))
    config.check(settings)
    fingerprint = instantiate(settings["data"], _convert_="all").fingerprint
    canonical = config.canonical(settings, fingerprint)
    digest = results.digest(canonical)
    return Cell(
        config=settings,
        source=OmegaConf.to_yaml(composed),
        overrides=tuple(overrides),
        choices={group: option for group, option in choices.items() if option is not None},
        fingerprint=fingerprint,
        digest=digest,
        name=results.name(canonical, digest),
    )


def expand(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    params: Mapping[str, Any],
    first: int | None,
) -> list[Cell]:
    """All cells of a grid in the order of its keys; cells that are the same run appear once.

    Groups are composed once for each choice of options and values are set on a copy, as Hydra does
    it for every cell anew: the same configs in a tenth of the time.

    Args:
        loader: Hydra's.
        master: the config as composed without what is swept.
        arguments: overrides, as typed.
        params: key -> values that an experiment sweeps; a typed override replaces them.
        first: keep this many values of every swept key; None keeps all.

    Raises:
        ValueError: naming the key whose value has no meaning in any of the cells.
    """
    if first is not None and first < 1:
        raise ValueError(f"hydra.sweeper.first={first} must be at least 1; null keeps all values")
    parser = OverridesParser.create(config_loader=loader)
    typed = [f"{key}={_values(value)}" for key, value in params.items()]
    axes: dict[str, list[str]] = {}
    groups: list[str] = []
    for override in parser.parse_overrides([*typed, *arguments]):
        key = override.get_key_element()
        axes[key] = _points(override)[:first]
        if loader.get_group_options(override.key_or_group):
            groups.append(key)
    if len(axes.get("experiment", [])) > 1:
        raise ValueError("experiment can only be one in a command, because each brings its grid")
    composed = [key for key in axes if key in groups or len(axes[key]) == 1]
    varied = [key for key in axes if key not in composed]
    cells: dict[str, Cell] = {}
    for options in itertools.product(*(axes[key] for key in composed)):
        base = loader.load_sweep_config(master, list(options))
        HydraConfig.instance().set_config(base)  # where ${hydra:...} looks
        choices = dict(base.hydra.runtime.choices)
        with open_dict(base):
            del base["hydra"]
        for point in itertools.product(*(axes[key] for key in varied)):
            settings = base.copy()
            for override in parser.parse_overrides(list(point)):
                added = override.is_add() or override.is_force_add()
                key, value = override.key_or_group, override.value()
                OmegaConf.update(settings, key, value, merge=True, force_add=added)
            made = cell(settings, [*options, *point], choices)
            cells.setdefault(f"{made.config['study']}/{made.digest}", made)
    if not cells:
        raise ValueError("the grid has no cell; give every swept key at least one value")
    return list(cells.values())


def _points(override: Override) -> list[str]:
    """The overrides that one with several values stands for."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [override.input_line or key]
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{override.input_line} is an interval; a grid needs values, as in {key}=1e-3,1e-2"
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _values(value: Any) -> str:
    """Values of a swept key in Hydra's grammar, from a string of them or from a list."""
    if isinstance(value, list | tuple) or OmegaConf.is_list(value):
        return ",".join("null" if entry is None else json.dumps(entry) for entry in value)
    return str(value)
