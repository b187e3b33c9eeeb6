"""A run is held by whoever trains it; the system lets go of a dead holder's lock by itself."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

FILE = ".lock"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[bool]:
    """Hold `folder` while the block runs; gives False, at once, if another process holds it.

    The lock is `flock` on a file of its own, which says who holds it for people to read. The file
    stays behind, because removing it would let two processes hold two files of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, file)
        file.flush()
        yield True
