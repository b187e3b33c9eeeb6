"""How many threads a run computes on, and what they do while they wait for each other."""

import contextlib
import os
from collections.abc import Iterator


def sleep_while_waiting() -> None:
    """Let the threads of OpenMP sleep where they wait, unless the environment says otherwise.

    By default they spin, so that a process beside another one, which slows one of its threads
    down, burns the machine at every barrier. To be called before torch is imported, which is when
    it is read; processes that are started later inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def number(given: int | None, *, work: float, worth: float, most: int) -> int:
    """Threads of a run; a function of its config, and of no measurement.

    A step of a small model is over before threads have met at its barriers, and gains nothing by a
    second one.

    Args:
        given: what the config says; None leaves it to the work.
        work: weights x examples x positions of a forward pass.
        worth: work from which more than one thread pays.
        most: threads that this process may have, where it pays.
    """
    if given is not None:
        return given
    return most if work >= worth else 1


@contextlib.contextmanager
def on(threads: int) -> Iterator[None]:
    """Compute on so many threads within, in torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
