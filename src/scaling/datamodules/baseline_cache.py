"""The losses of n-gram models, computed once for a data set."""

import json
from collections.abc import Callable, Mapping

from scaling.contracts.disk_cache import cached_text

VERSION = 1  # raise it when the computation changes

_in_memory: dict[tuple[object, ...], Mapping[str, float]] = {}


def kept(
    key: tuple[object, ...], compute: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """The result of `compute`, from memory or disk if it was computed before.

    Args:
        key: everything that the result depends on, including the content of the data.
        compute: computes the losses by name.
    """
    if key not in _in_memory:
        text = cached_text("baselines", (VERSION, *key), lambda: json.dumps(dict(compute())))
        _in_memory[key] = json.loads(text)
    return _in_memory[key]
