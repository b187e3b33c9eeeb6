"""Number of threads of a run, and their behaviour while they wait for each other."""

import contextlib
import os
from collections.abc import Iterator


def sleep_while_waiting() -> None:
    """Let OpenMP threads sleep while they wait, unless the environment says otherwise.

    By default they spin, which wastes CPU time at every barrier if another process slows down one
    of the threads. Call it before torch is imported, which reads the setting; child processes
    inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def number(given: int | None, *, work: float, worth: float, most: int) -> int:
    """The number of threads of a run; it depends on the config only, not on measurements.

    A step of a small model is shorter than the synchronisation of threads, and gains nothing from
    a second one.

    Args:
        given: from the config; None chooses by the work.
        work: weights x examples x positions of a forward pass.
        worth: work from which a run uses more than one thread.
        most: threads of such a run.
    """
    if given is not None:
        return given
    return most if work >= worth else 1


@contextlib.contextmanager
def on(threads: int) -> Iterator[None]:
    """Set torch's number of threads for the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
