"""Modules that every worker needs, imported only by the server of workers (`worker_server`).

The server ignores signals that are sent to all processes of a command. The command handles them: it
ends its workers after they have written their rows, and it needs the server to see how they end.
The server ends with the command, even during its imports, because it holds the command's output
open and another program may read that to its end.
"""

import ctypes
import importlib
import os
import pickle
import signal
import sys
from types import TracebackType

PR_SET_PDEATHSIG = 1  # see prctl(2); not inherited by the workers
OF_THE_COMMAND = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


STOPPED = (FileNotFoundError, ConnectionError, EOFError, pickle.UnpicklingError)


def _failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print why a worker could not start, unless its pool ended while it did."""
    if not issubclass(kind, STOPPED):
        sys.__excepthook__(kind, error, trace)


def _as_usual() -> None:
    for number in OF_THE_COMMAND:
        signal.signal(number, signal.SIG_DFL)


ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
for number in OF_THE_COMMAND:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # see `worker_server.start`
sys.excepthook = _failed  # errors of a cell do not come here
os.register_at_fork(after_in_child=_as_usual)
importlib.import_module("scaling.sweeps.executors.pool")
