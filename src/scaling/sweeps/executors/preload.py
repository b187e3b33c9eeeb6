"""Imported by the server of workers only (`worker_server`): what every worker needs.

A signal sent to all processes of a command is left to the command, which ends its workers after
they have written their rows; without the server it would not see how they end.
"""

import importlib
import os
import signal

OF_THE_COMMAND = (signal.SIGTERM, signal.SIGHUP)


def _as_usual() -> None:
    for number in OF_THE_COMMAND:
        signal.signal(number, signal.SIG_DFL)


for number in OF_THE_COMMAND:
    signal.signal(number, signal.SIG_IGN)
os.register_at_fork(after_in_child=_as_usual)
importlib.import_module("scaling.sweeps.executors.pool")
