"""Losses that counting reaches, computed once for a data set and kept on disk."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from scaling.contracts.atomic_write import atomic_write

VERSION = 1  # of how they are computed; a change of it changes this


def folder() -> Path:
    """Where they are kept: below $XDG_CACHE_HOME, else ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "scaling", "references")


_known: dict[tuple[object, ...], Mapping[str, float]] = {}


def kept(
    key: tuple[object, ...], compute: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """What `compute` gives, from disk if it was computed before.

    A file that is damaged or cannot be written is computed anew, which costs seconds.

    Args:
        key: all that the numbers follow from, the content of the data included.
        compute: name -> loss.
    """
    if key not in _known:
        _known[key] = _from_disk(key, compute)
    return _known[key]


def _from_disk(
    key: tuple[object, ...], compute: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    name = hashlib.sha256(repr((VERSION, *key)).encode()).hexdigest()[:24]
    path = folder() / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        return {str(name): float(loss) for name, loss in json.loads(path.read_text()).items()}
    found = dict(compute())
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(found))
    return found
