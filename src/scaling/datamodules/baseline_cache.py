"""A cache on disk for the losses of n-gram models, computed once for a data set."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from scaling.contracts.atomic_write import atomic_write

VERSION = 1  # raise it when the computation changes


def folder() -> Path:
    """The folder of the cache, below $XDG_CACHE_HOME, else ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "scaling", "references")


_in_memory: dict[tuple[object, ...], Mapping[str, float]] = {}


def kept(
    key: tuple[object, ...], compute: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """The result of `compute`, from disk if it was computed before.

    If a file is damaged or cannot be written, the result is computed again, which takes seconds.

    Args:
        key: everything that the result depends on, including the content of the data.
        compute: computes the losses by name.
    """
    if key not in _in_memory:
        _in_memory[key] = _from_disk(key, compute)
    return _in_memory[key]


def _from_disk(
    key: tuple[object, ...], compute: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    name = hashlib.sha256(repr((VERSION, *key)).encode()).hexdigest()[:24]
    path = folder() / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        return {str(name): float(loss) for name, loss in json.loads(path.read_text()).items()}
    losses = dict(compute())
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(losses))
    return losses
