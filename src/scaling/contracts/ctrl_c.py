"""End a command at Ctrl-C with one line in place of a traceback, from its first import on."""

import os
import signal
from types import FrameType


def prints(line: str) -> None:
    """Let Ctrl-C print a line and end this process with exit code 130.

    It raises nothing, because libraries drop exceptions that are raised while they are imported.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{line}\n".encode())
        os._exit(128 + number)

    signal.signal(signal.SIGINT, end)
