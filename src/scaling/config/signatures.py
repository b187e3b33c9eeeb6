"""Config nodes against the signatures of what they build, before anything is built."""

import difflib
import inspect
import pydoc
import typing
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any

from beartype import BeartypeConf
from beartype.door import is_bearable

TARGET, PARTIAL = "_target_", "_partial_"


def check(node: Any, path: str, given: Iterable[str] = ()) -> None:
    """Stop a node, and all nodes inside it, that its `_target_` could not be called with.

    Args:
        node: plain containers, as in a resolved config.
        path: the node's place in the config, for messages.
        given: parameters that the program fills in itself, and that a config may not.

    Raises:
        ValueError: naming the key, its value and what may stand there.
    """
    if isinstance(node, list):
        for i, entry in enumerate(node):
            check(entry, f"{path}[{i}]")
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        check(value, f"{path}.{key}")
    if TARGET in node:
        _check_call(node, path, set(given))


def _check_call(node: Mapping[str, Any], path: str, given: set[str]) -> None:
    target = pydoc.locate(node[TARGET]) if isinstance(node[TARGET], str) else None
    if not callable(target):
        raise ValueError(f"{path}.{TARGET}={node[TARGET]} must be the dotted name of a callable")
    parameters = inspect.signature(target).parameters
    hints = _hints(target)
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue  # Hydra's own, such as _partial_
        if key in given:
            raise ValueError(f"{path}.{key}={value} must be left out; the run fills it in itself")
        if key not in parameters and not anything:
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(parameters)}"
            raise ValueError(f"{path}.{key}={value} is not known to {node[TARGET]}; {hint}")
        built = isinstance(value, Mapping) and TARGET in value  # what it builds is judged by itself
        if key in hints and not built and not _fits(value, hints[key]):
            raise ValueError(f"{path}.{key}={value} must be of type {_shown(hints[key])}")
    for key, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty and parameter.kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        if required and key not in node and key not in given and not node.get(PARTIAL):
            raise ValueError(f"{path}.{key} is missing; {node[TARGET]} needs it")


def _hints(target: Any) -> dict[str, Any]:
    """Type hints of a callable's parameters; none where a library's own cannot be evaluated."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value may stand for `hint`: an int for a float, a list for a tuple."""
    kinds = set(typing.get_args(hint)) if typing.get_origin(hint) in _UNIONS else {hint}
    if isinstance(value, bool) and kinds <= {int, float, NoneType}:
        return False
    tower = BeartypeConf(is_pep484_tower=True)
    values = (value, tuple(value)) if isinstance(value, list) else (value,)
    return any(is_bearable(form, hint, conf=tower) for form in values)


_UNIONS = (typing.Union, UnionType)


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
