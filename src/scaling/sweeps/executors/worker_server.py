"""The process that workers are forked from, so that torch and Lightning are imported once.

It is Python's fork server: it imports what every worker needs while the command itself does, trains
nothing, uses no GPU, and ends with the command and its workers. On systems other than Linux, some
system libraries do not survive a fork, so each worker starts and imports on its own.
"""

import multiprocessing
import signal
import sys
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext

FORKS = sys.platform == "linux"
PRELOADED = "scaling.sweeps.executors.preload"


def start() -> None:
    """Let the server begin to import; returns at once, and does nothing if it runs."""
    if FORKS:
        multiprocessing.set_forkserver_preload([PRELOADED])
        resource_tracker.ensure_running()  # it would end the block below
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited until it is ignored
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def context() -> BaseContext:
    """Return the context in which a pool starts its workers."""
    if not FORKS:
        return multiprocessing.get_context("spawn")
    start()
    return multiprocessing.get_context("forkserver")
