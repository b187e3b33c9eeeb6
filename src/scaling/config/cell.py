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
from scaling.contracts.protocols import DataSet, howto, name_of, required

# What a run gives to the parts that it builds, by group: each must take it.
GIVEN = {
    "model": ("inputs", "outputs", "length"),
    "schedule": ("steps", "batch"),
    "logger": ("save_dir",),
    "adaptation": ("net", "sizes", "optimizer", "schedule"),
}
# What a run may decide beside that, and a config may not.
RESERVED = {
    "logger": ("purge_step",),
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
CALLED = ("optimizer", "schedule")  # a run calls what these build: with parameters, an optimizer


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
    _check_parts(settings)
    checks.check(settings)
    fingerprint = _fingerprint(build(settings["data"]))
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


def _check_parts(settings: Mapping[str, Any]) -> None:
    """Stop groups that build nothing, or whose targets could not be called.

    Raises:
        ValueError: naming the key and what may stand there.
    """
    for group in (*schema.GROUPS, *schema.OPTIONAL):
        node = settings.get(group)
        empty = node is None if group in schema.OPTIONAL else group in ("callbacks", "logger")
        if not empty and signatures.TARGET not in (node or {}):
            if isinstance(node, Mapping):
                raise ValueError(f"{group}.{signatures.TARGET} is missing{howto(group)}")
            raise ValueError(f"{group}={node} must be one of the options of that group")
        signatures.check(
            node,
            group,
            GIVEN.get(group, ()),
            reserved=RESERVED.get(group, ()),
            called=group in CALLED,
        )
        if group not in CALLED and (node or {}).get(signatures.PARTIAL):
            raise ValueError(f"{group}.{signatures.PARTIAL} must be left out{howto(group)}")
    for name, node in (settings.get("callbacks") or {}).items():
        if node is not None and (not isinstance(node, Mapping) or signatures.TARGET not in node):
            raise ValueError(
                f"callbacks.{name}={node} must be null, or have a {signatures.TARGET}"
                f"{howto('callbacks')}"
            )


def _fingerprint(data: object) -> str:
    """The identity of a data set.

    Raises:
        ValueError: for a data set that lacks what a run needs, or that cannot be read.
    """
    data_set: DataSet = required(data, DataSet, "data")
    try:
        fingerprint: object = data_set.fingerprint
    except ValueError:
        raise
    except Exception as error:  # whatever a data set raises while it is loaded
        raise ValueError(f"{name_of(data)}: {type(error).__name__}: {error}") from error
    if not isinstance(fingerprint, str):
        raise ValueError(
            f"{name_of(data)}.fingerprint must be a property that gives text, not a "
            f"{type(fingerprint).__name__}{howto('data')}"
        )
    return fingerprint


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
