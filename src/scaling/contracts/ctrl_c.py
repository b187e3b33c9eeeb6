"""End a command at Ctrl-C with one line in place of a traceback, from its first import on."""

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType


def prints(line: str, *more: signal.Signals) -> Callable[[int, FrameType | None], None]:
    """Let Ctrl-C print a line and end this process with exit code 130; return the handler.

    It raises nothing, because libraries drop exceptions that are raised while they are imported.
    Signals that are ignored stay so.

    Args:
        line: without its end.
        more: signals that also end the process, with exit code 128 + the signal.
    """

    def end(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # stderr may be closed
            os.write(2, f"{line}\n".encode())
        os._exit(128 + number)

    for number in not_ignored(signal.SIGINT, *more):
        signal.signal(number, end)
    return end


def not_ignored(*numbers: signal.Signals) -> list[signal.Signals]:
    """The signals among some that this process does not ignore.

    A shell script ignores Ctrl-C in the commands that it starts with `&`.
    """
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
