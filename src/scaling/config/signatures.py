"""Check config nodes against the signatures of their targets, before anything is built."""

import difflib
import importlib
import inspect
import typing
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any

from beartype import BeartypeConf
from beartype.door import is_bearable

from scaling.config.near_names import near_key
from scaling.contracts.protocols import howto

TARGET, PARTIAL = "_target_", "_partial_"


def check(
    node: Any,
    path: str,
    given: Iterable[str] = (),
    *,
    reserved: Iterable[str] = (),
    called: bool = False,
) -> None:
    """Check that `_target_` can be called with the keys of a node, and of nodes inside it.

    Args:
        node: plain containers, as in a resolved config.
        path: the node's place in the config, for messages.
        given: parameters that a run fills in: the target must accept them, and a config may not
            set them.
        reserved: other parameters that a config may not set.
        called: a run calls the built object with one argument, as an optimizer with parameters.

    Raises:
        ValueError: naming the key, its value and what is allowed.
    """
    if isinstance(node, list):
        for i, entry in enumerate(node):
            check(entry, f"{path}[{i}]")
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        check(value, f"{path}.{key}")
    if TARGET in node:
        _check_call(node, path, set(given), set(reserved), called)


def _check_call(
    node: Mapping[str, Any], path: str, given: set[str], reserved: set[str], called: bool
) -> None:
    target, partial = node[TARGET], bool(node.get(PARTIAL))
    parameters = inspect.signature(callee := _located(target, path)).parameters
    hints = _hints(callee)
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    first = next(iter(parameters), "")  # the argument of that call
    filled_in = given | ({first} if called and partial else set())
    for name in sorted(given):
        if name not in parameters and not anything:
            raise ValueError(
                f"{path}.{TARGET}={target} has no parameter {name}, which a run sets{howto(path)}"
            )
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue  # Hydra's own, such as _partial_
        if key in filled_in | reserved:
            raise ValueError(f"{path}.{key}={value} must be left out; the run fills it in itself")
        if key not in parameters and not anything:
            near = near_key(key, parameters)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(parameters)}"
            raise ValueError(f"{path}.{key}={value} is not a parameter of {target}; {hint}")
        built = isinstance(value, Mapping) and TARGET in value  # checked separately
        if key in hints and not built and not _fits(value, hints[key]):
            raise ValueError(f"{path}.{key}={value} must be of type {_shown(hints[key])}")
    for key, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty and parameter.kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        if not required or key in node or key in filled_in or (partial and not called):
            continue
        if called and not partial and key == first:
            raise ValueError(
                f"{path}.{PARTIAL} must be true; a run sets {key} of {target}{howto(path)}"
            )
        raise ValueError(f"{path}.{key} is missing; {target} needs it{howto(path)}")


def _located(target: Any, path: str) -> Any:
    """Import the object that a `_target_` names.

    Raises:
        ValueError: naming the wrong part of the name, or what the import raised.
    """
    key = f"{path}.{TARGET}={target}"
    if not isinstance(target, str):
        raise ValueError(f"{key} must be the dotted name of a callable")
    thing: Any = None
    place = ""
    for part in target.split("."):
        owner, place = thing, f"{place}.{part}" if place else part
        thing = getattr(owner, part, None)
        if thing is None and (owner is None or inspect.ismodule(owner)):
            thing = _imported(place, path, key)
        if thing is None:
            why = f"there is no module {part} in the current folder or on PYTHONPATH"
            if owner is not None:
                near = difflib.get_close_matches(part, dir(owner), n=1)
                why = f"{getattr(owner, '__file__', type(owner).__name__)} has no {part}"
                why += f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{key} cannot be imported: {why}{howto(path)}")
    if not callable(thing):
        kind = type(thing).__name__
        raise ValueError(f"{key} must be the dotted name of a callable, not of a {kind}")
    return thing


def _imported(name: str, path: str, key: str) -> Any:
    """Import a module; None if no module has this name.

    Raises:
        ValueError: if its import raises an error.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{key} cannot be imported: {why}{howto(path)}") from error


def _hints(target: Any) -> dict[str, Any]:
    """Type hints of a callable's parameters; empty if they cannot be evaluated."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value fits a type hint: an int fits a float, a list fits a tuple."""
    kinds = set(typing.get_args(hint)) if typing.get_origin(hint) in _UNIONS else {hint}
    if isinstance(value, bool) and kinds <= {int, float, NoneType}:
        return False
    tower = BeartypeConf(is_pep484_tower=True)
    values = (value, tuple(value)) if isinstance(value, list) else (value,)
    return any(is_bearable(form, hint, conf=tower) for form in values)


_UNIONS = (typing.Union, UnionType)


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
