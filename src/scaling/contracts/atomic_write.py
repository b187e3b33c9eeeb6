"""Write files atomically: even after a crash, no file is half written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a draft to write, which replaces `path` at the end of the block.

    After an error the draft is removed and `path` is unchanged. A process that dies leaves its
    draft, which the next write of `path` overwrites: one process at a time should write a path.

    Args:
        path: the file to write; its folder must exist.
        durable: flush to disk first, so that a power failure cannot leave an empty file.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        yield draft
        if durable:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
