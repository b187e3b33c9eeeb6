"""Names of keys and options that a user may have meant."""

import difflib
from collections.abc import Iterable

from scaling.contracts.columns import ALIASES

# Other names of keys that are not columns of a table from elsewhere.
KEYS = {
    "steps": ("max_steps", "num_steps", "iterations", "iters", "max_iters"),
    "epochs": ("max_epochs", "num_epochs", "n_epochs"),
    "weight_decay": ("wd",),
}
CLOSE = 0.75  # of a mistyped name to another name of a key; `foo` and `loss` are not


def near_key(typed: str, keys: Iterable[str]) -> str | None:
    """The key that is meant by another usual name, such as `learning_rate`, or a mistyped one."""
    keys = sorted(keys)
    others = {other: key for key in keys for other in (*ALIASES.get(key, ()), *KEYS.get(key, ()))}
    if typed.lower() in others:
        return others[typed.lower()]
    if near := difflib.get_close_matches(typed, keys, n=1):
        return near[0]
    near = difflib.get_close_matches(typed.lower(), others, n=1, cutoff=CLOSE)
    return others[near[0]] if near else None


def near_option(typed: str, options: Iterable[str]) -> str | None:
    """The option that is meant: a similar one, or one whose name is part of what was typed."""
    options = sorted(options)
    part = [option for option in options if option in typed or typed in option]
    return next(iter(difflib.get_close_matches(typed, options, n=1) or part), None)


def one_of(typed: str, options: Iterable[str]) -> str:
    """What an option must be: a sorted list, with the one that is meant."""
    near = near_option(typed, options)
    return f"one of {', '.join(sorted(options))}" + (f" (did you mean {near}?)" if near else "")
