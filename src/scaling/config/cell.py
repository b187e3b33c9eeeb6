"""One point of a grid: a composed config, checked and with its identity."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from scaling.config import checks, identity, schema, signatures
from scaling.config.near_names import near_key
from scaling.contracts.precision import rounded
from scaling.contracts.protocols import DataSet, howto, name_of, required

# Arguments that a run passes to the parts it builds, by group; each must accept them.
GIVEN = {
    "model": ("inputs", "outputs", "length"),
    "schedule": ("steps", "batch"),
    "logger": ("save_dir",),
    "adaptation": ("net", "query", "sizes", "optimizer", "schedule"),
}
# Other arguments that only a run may set, not a config.
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
CALLED = ("optimizer", "schedule")  # a run calls what these build, with parameters or an optimizer


@dataclass(frozen=True)
class Cell:
    """One point of a grid: a config, and what is known of its run before training."""

    config: dict[str, Any]  # resolved, as plain containers
    composed: dict[str, Any]  # the config before interpolation
    overrides: tuple[str, ...]  # as typed
    choices: dict[str, str]  # config group -> option
    fingerprint: str  # identity of the data's content
    digest: str
    name: str

    @property
    def folder(self) -> Path:
        """The run's folder, below the current directory."""
        return Path("multirun", self.config["study"], self.name)


class SharedChecks:
    """Config nodes already checked, and data sets already read, by the cells of one command."""

    def __init__(self) -> None:
        self.checked: set[tuple[str, str]] = set()  # group, node
        self.fingerprints: dict[str, str] = {}  # by node


def make_cell(
    composed: DictConfig,
    overrides: Sequence[str],
    choices: Mapping[str, str | None],
    shared: SharedChecks | None = None,
) -> Cell:
    """Check a composed config and compute its identity.

    Loads the data set for its fingerprint, without training. Numbers are rounded to 12 significant
    digits, both in the digest and in training.

    Args:
        composed: the config.
        overrides: as typed.
        choices: config group -> option.
        shared: of the same command; filled by each of its cells.

    Raises:
        ValueError: for an unknown key, or a value of the wrong type or without meaning.
        omegaconf.errors.MissingMandatoryValue: for a missing key.
    """
    settings = rounded(OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    root_keys = [field.name for field in fields(schema.Run)]
    for key in settings:
        if key not in root_keys:
            near = near_key(key, root_keys)
            hint = f"did you mean {near}?" if near else f"known here: {', '.join(root_keys)}"
            raise ValueError(f"{key} is an unknown key; {hint}")
    shared = shared or SharedChecks()
    checks.check_groups(settings)
    _check_parts(settings, shared)
    checks.check(settings)
    fingerprint = _fingerprint(settings["data"], shared)
    canonical = identity.canonical(settings, fingerprint)
    digest = identity.digest(canonical)
    return Cell(
        config=settings,
        composed=OmegaConf.to_container(composed),  # type: ignore[arg-type]
        overrides=tuple(overrides),
        choices={group: option for group, option in choices.items() if option is not None},
        fingerprint=fingerprint,
        digest=digest,
        name=identity.run_name(canonical, digest),
    )


def _check_parts(settings: Mapping[str, Any], shared: SharedChecks) -> None:
    """Check that every group has a target that can be called.

    Raises:
        ValueError: naming the key and what is allowed.
    """
    for group in (*schema.GROUPS, *schema.OPTIONAL):
        node = settings.get(group)
        if (group, repr(node)) in shared.checked:
            continue
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
        shared.checked.add((group, repr(node)))
    for name, node in (settings.get("callbacks") or {}).items():
        if node is not None and (not isinstance(node, Mapping) or signatures.TARGET not in node):
            raise ValueError(
                f"callbacks.{name}={node} must be null, or have a {signatures.TARGET}"
                f"{howto('callbacks')}"
            )


def _fingerprint(node: Mapping[str, Any], shared: SharedChecks) -> str:
    """The identity of the data set that a config node describes."""
    key = repr(node)
    if key not in shared.fingerprints:
        with keys_of(node, "data"):
            shared.fingerprints[key] = _identity(build(node, "data"))
    return shared.fingerprints[key]


def _identity(data: object) -> str:
    """The identity of a data set.

    Raises:
        ValueError: if a member is missing, or the data cannot be read.
    """
    data_set: DataSet = required(data, DataSet, "data")
    try:
        fingerprint: object = data_set.fingerprint
    except ValueError:
        raise
    except Exception as error:  # loading may raise anything
        raise ValueError(f"{name_of(data)}: {type(error).__name__}: {error}") from error
    if not isinstance(fingerprint, str):
        raise ValueError(
            f"{name_of(data)}.fingerprint must be a property that gives text, not a "
            f"{type(fingerprint).__name__}{howto('data')}"
        )
    return fingerprint


def build(node: Mapping[str, Any], path: str, **given: Any) -> Any:
    """Build the object that a config node describes.

    Args:
        node: with a `_target_`, as plain containers.
        path: the node's place in the config, for messages (`keys_of`).
        given: arguments that the run fills in itself.

    Raises:
        ValueError: as the target raises it, with full key names.
        hydra.errors.InstantiationException: for any other error.
    """
    with keys_of(node, path):
        try:
            built = instantiate(node, **given, _convert_="all")
        except InstantiationException as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            raise
    return keys_of(node, path)(built) if node.get(signatures.PARTIAL) else built


# A word before `=`; at the start of a message also one before `: ` or ` is `.
_KEY = re.compile(r"(?:^|(?<=\s))\w+(?==)|^\w+(?=: | is )")


@contextlib.contextmanager
def keys_of(node: Mapping[str, Any], path: str) -> Iterator[None]:
    """Replace a node's keys in the message of a `ValueError` by their full names.

    Classes know their parameters but not the config: `depth=0 must be at least 1` becomes
    `model.depth=0 must be at least 1`. A word is a key if the node, or a nested node, has a key of
    that name, and the word is followed by `=`, or starts the message and is followed by `: ` or
    ` is `. Keys interpolated from another key get its name: `batch`, not `data.batch`. Keys that
    are already full names, such as `data.path=a`, are unchanged.

    Args:
        node: as plain containers.
        path: the node's place in the config.

    Raises:
        ValueError: in place of that of the block.
    """
    try:
        yield
    except ValueError as error:
        places = _places(node, path)
        message = _KEY.sub(lambda key: places.get(key[0], key[0]), str(error))
        if message == str(error) and path.startswith("callbacks.") and path not in message:
            message = f"{path}: {message}"  # of several, which may not name a key
        if message == str(error):
            raise
        raise ValueError(message) from error


def _places(node: Mapping[str, Any], path: str) -> dict[str, str]:
    """Key -> its full name; of two keys of the same name, the outer one."""
    places: dict[str, str] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            places |= _places(value, f"{path}.{key}")
    return places | {key: checks.WIRED.get(f"{path}.{key}", f"{path}.{key}") for key in node}
