"""Files of data sets: their location, and a key that changes with their content."""

import os
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A file in its present state, as a key for caches of its content.

    It includes the time of the last change of its inode (`ctime_ns`), because commands such as
    `cp -p` and `touch -r` set `mtime_ns`.
    """

    path: Path  # absolute
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int


def file_at(path: Path) -> File:
    """Return the present state of a file.

    Raises:
        OSError: if it does not exist, or its folder cannot be entered.
    """
    stat = path.stat()
    return File(path.absolute(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def data_folder(path: str | None, name: str) -> Path | None:
    """The folder of a data set: `path`, else `name` below $SCALING_DATA; None if absent."""
    if path:
        return Path(path).expanduser()
    root = os.environ.get("SCALING_DATA")
    return Path(root, name) if root and Path(root, name).is_dir() else None
