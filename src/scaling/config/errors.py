"""Error messages for configs: the key, its value, and the remedy."""

import difflib
import itertools
import re
import shlex
from collections.abc import Mapping

import yaml
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from scaling.config import typed
from scaling.config.near_names import near_key, one_of
from scaling.config.schema import GROUPS, OPTIONAL
from scaling.contracts.protocols import howto
from scaling.storage import plans

KINDS = {"Integer": "int", "Float": "float", "Boolean": "bool", "String": "str"}
# Groups whose files write into the root.
PACKAGED = ("experiment", "scale", "adaptation", "match")
REFUSED = (ValueError, HydraException, OmegaConfBaseException, yaml.YAMLError)


def message(error: Exception) -> str:
    """Turn an error of Hydra, OmegaConf or this package into one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause).rsplit(": ", 1)[-1].split("\n")[0]
            return f"{key} is missing; give it as {key}=..."
        if isinstance(cause, MissingConfigException):
            return _no_file(cause)
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return _unknown(cause)
        if isinstance(cause, ValidationError):
            return _mistyped(cause)
        composing = isinstance(cause, ConfigCompositionException)  # Hydra sets no cause there
        cause = cause.__cause__ or (cause.__context__ if composing else None)
    text = _one_line(error)
    if group := re.match(r"Could not override '([^'@]+)'", text):
        near = difflib.get_close_matches(group[1], (*GROUPS, *OPTIONAL, *PACKAGED), n=1)
        return f"{group[1]} is not a config group" + (f"; did you mean {near[0]}?" if near else "")
    if several := re.search(r"(?:for argument|Sweep parameters) '(.+?)'(?:; 1\.| requires)", text):
        return typed.several_values(several[1])
    return _unread(error, text) if isinstance(error, OverrideParseException) else text


def _unread(error: OverrideParseException, text: str) -> str:
    """Report an override that Hydra's parser refuses, for its characters or for a function."""
    if unknown := re.search(r"Unknown function '(\w+)'", text):
        return typed.unknown_function(error.override, unknown[1])
    if refused := re.search(r"while evaluating '.+?': (.+?)(?:; See|$)", text):
        return f"{error.override}: {refused[1]}"
    return typed.unread(error.override)


def _one_line(error: Exception) -> str:
    return re.sub(r"\s*\n\s*", "; ", str(error).strip())


def _no_file(error: MissingConfigException) -> str:
    """Report an option without a file, the options that exist, and the user's folder."""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    text = _one_line(error)
    if "rimary config" in text:
        return (
            f"{text}; --config-dir adds your folder to that of this package, --config-path "
            "replaces it"
        )
    if inner := re.match(rf"In '(.+)': Could not find '.+/({'|'.join(GROUPS)})/(.+?)'", text):
        file, group, option = inner.groups()
        return f"{file}.yaml must choose {group}={option} by `override /{group}: {option}`"
    if not error.options:
        return text
    folders = re.findall(r"provider=(?:command-line|hydra\.search.*), path=file://(.*)", str(error))
    where = (
        f"there is no {group}/{option}.yaml in {' or '.join(folders)}{howto(group)}"
        if folders
        else "for a file of your own use --config-dir, see docs/howto/README.md"
    )
    if group.startswith("hydra/"):
        where = "others need their Hydra plugin, which is not installed"
    return f"{group}={option} must be {one_of(option, error.options)}; {where}"


def _unknown(cause: OmegaConfBaseException) -> str:
    key = str(cause.key)
    keys = [str(k) for k in cause.parent_node] if isinstance(cause.parent_node, Mapping) else []
    if not keys and cause.parent_node is not None:
        keys = [str(k) for k in cause.parent_node.keys()]  # noqa: SIM118 - a DictConfig
    if key in PACKAGED and cause.full_key == key:
        return (
            f"{_chosen(key)} must begin with `# @package _global_`, because its keys are those of "
            "the whole config"
        )
    if not keys:
        path = cause.full_key or key
        group = path.rpartition(".")[0]
        return f"{path} cannot be set because {group} is null; set {group}=..., or leave {path} out"
    shown = sorted(name for name in keys if not name.startswith("_"))
    path = cause.full_key or key
    if not shown:
        group = path.rpartition(".")[0]
        return f"{path} is an unknown key; what is chosen for {group} has no keys"
    near = near_key(key, shown)
    hint = f"did you mean {near}?" if near else f"known here: {', '.join(shown)}"
    return f"{path} is an unknown key; {hint}"


def _chosen(group: str) -> str:
    """The user's file that the running command chooses for a group."""
    words = shlex.split(plans.typed().replace("--config-dir=", "--config-dir "))
    pairs = itertools.pairwise(words)
    folder = next((place for flag, place in pairs if flag in ("--config-dir", "-cd")), "conf")
    chosen = [word.partition("=")[2] for word in words if word.lstrip("+").startswith(f"{group}=")]
    return f"{folder}/{group}/{chosen[0] if chosen else '...'}.yaml"


def _mistyped(cause: ValidationError) -> str:
    line = str(cause.msg or cause).splitlines()[0]
    if match := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", line):
        value, kind = match.groups()
        return f"{cause.full_key}={value} must be of type {KINDS.get(kind, kind)}"
    return f"{cause.full_key}: {line}"
