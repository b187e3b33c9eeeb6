"""One point of a grid: a composed config, checked and with its identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from scaling.config import checks, identity, schema, signatures
from scaling.contracts.precision import rounded

# What a run fills in itself, by group.
GIVEN = {
    "model": ("inputs", "outputs", "length"),
    "schedule": ("optimizer", "steps", "batch"),
    "logger": ("save_dir", "purge_step"),
    "adaptation": ("net", "query", "sizes", "optimizer", "schedule"),
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


def make_cell(
    composed: DictConfig, overrides: Sequence[str], choices: Mapping[str, str | None]
) -> Cell:
    """Check a composed config and give it its identity. The data are looked at, not trained on.

    Numbers are rounded to 12 significant digits: those that a run is known by are those that it
    is trained with.

    Raises:
        ValueError: naming the key that is unknown, or whose value has the wrong type or no meaning.
        omegaconf.errors.MissingMandatoryValue: for a key that must be given and was not.
    """
    settings = rounded(OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    known = [field.name for field in fields(schema.Run)]
    for key in settings:
        if key not in known:
            raise ValueError(f"{key} is an unknown key; the root keys are {', '.join(known)}")
    checks.check_groups(settings)
    for group in (*schema.GROUPS, *schema.OPTIONAL):
        node = settings.get(group)
        empty = node is None if group in schema.OPTIONAL else group in ("callbacks", "logger")
        if not empty and signatures.TARGET not in (node or {}):
            raise ValueError(f"{group}={node} must be one of the options of that group")
        signatures.check(node, group, GIVEN.get(group, ()))
    checks.check(settings)
    fingerprint = build(settings["data"]).fingerprint
    canonical = identity.canonical(settings, fingerprint)
    digest = identity.digest(canonical)
    return Cell(
        config=settings,
        source=OmegaConf.to_yaml(composed),
        overrides=tuple(overrides),
        choices={group: option for group, option in choices.items() if option is not None},
        fingerprint=fingerprint,
        digest=digest,
        name=identity.run_name(canonical, digest),
    )


def build(node: Mapping[str, Any], **given: Any) -> Any:
    """What a config node describes, with what the run gives it.

    Raises:
        ValueError: as the thing itself refuses its values, without Hydra's words around it.
        hydra.errors.InstantiationException: for whatever else goes wrong.
    """
    try:
        return instantiate(node, **given, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise
