"""A cache on disk for texts that take seconds to compute and depend only on their key."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from scaling.contracts.atomic_write import atomic_write


def folder() -> Path:
    """The folder of the cache, below $XDG_CACHE_HOME, else ~/.cache.

    Raises:
        RuntimeError: if there is neither, as for a user of a container without a home.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "scaling")


def cached_text(kind: str, key: tuple[object, ...], compute: Callable[[], str]) -> str:
    """The result of `compute`, from disk if it was computed before.

    The first line of a file is a checksum of the others: a damaged file, or one that another
    process is writing, is computed again. So is one that cannot be written.

    Args:
        kind: what is cached: the name of a subfolder.
        key: everything that the result depends on.
        compute: computes the text.
    """
    try:
        path = folder() / kind / hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    except RuntimeError:  # a user without a home
        return compute()
    with contextlib.suppress(OSError):
        checksum, _, content = path.read_bytes().partition(b"\n")
        if checksum == _checksum(content):
            return content.decode()
    text = compute()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, durable=False) as draft:
            draft.write_bytes(_checksum(text.encode()) + b"\n" + text.encode())
    return text


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
