"""One thread for BLAS while a sweep is analysed.

Its matrices have a line for each run and a column for each parameter of a law. Threads then wait
for each other longer than they compute: without this, the report of 2,000 runs took five times as
long on two idle cores, and more on busy ones.
"""

import contextlib
import functools
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread inside the block, or inside the function that this decorates."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries of this process: numpy's, and scipy's own."""
    import scipy.linalg  # noqa: F401  loads its library, so that it is found

    return ThreadpoolController()
