"""What is said to a user whose request cannot be met: the key, its value, and the remedy."""

import difflib
import re
from collections.abc import Mapping

import yaml
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

KINDS = {"Integer": "int", "Float": "float", "Boolean": "bool", "String": "str"}
# Groups whose files write into the root.
PACKAGED = ("experiment", "scale", "adaptation", "match")
REFUSED = (ValueError, HydraException, OmegaConfBaseException, yaml.YAMLError)


def message(error: Exception) -> str:
    """One message for whatever Hydra, OmegaConf or this package refuses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause).rsplit(": ", 1)[-1].split("\n")[0]
            return f"{key} is missing; give it as {key}=..."
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return _unknown(cause)
        if isinstance(cause, ValidationError):
            return _mistyped(cause)
        cause = cause.__cause__
    text = re.sub(r"\s*\n\s*", "; ", str(error).strip())
    return f"{error.override}: {text}" if isinstance(error, OverrideParseException) else text


def _unknown(cause: OmegaConfBaseException) -> str:
    key = str(cause.key)
    known = [str(k) for k in cause.parent_node] if isinstance(cause.parent_node, Mapping) else []
    if not known and cause.parent_node is not None:
        known = [str(k) for k in cause.parent_node.keys()]  # noqa: SIM118 - a DictConfig
    if key in PACKAGED and cause.full_key == key:
        return f"{key} is an unknown key; does conf/{key}/... begin with `# @package _global_`?"
    if not known:
        path = cause.full_key or key
        group = path.rpartition(".")[0]
        return f"{path} has no place, for {group} is null; give {group}=..., or leave it out"
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{cause.full_key or key} is an unknown key; {hint}"


def _mistyped(cause: ValidationError) -> str:
    said = str(cause.msg or cause).splitlines()[0]
    if found := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", said):
        value, kind = found.groups()
        return f"{cause.full_key}={value} must be of type {KINDS.get(kind, kind)}"
    return f"{cause.full_key}: {said}"
