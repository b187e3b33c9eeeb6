"""Give a command the standard streams that its caller closed, as some schedulers do."""

import os
import sys


def open_closed() -> None:
    """Open each of stdin, stdout and stderr that is closed, on the null device.

    Otherwise the next file that is opened gets the number of a closed stream, and what is printed
    is written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - stays open
