"""Ctrl-C and SIGTERM, raised once: what is put in order after the first is not cut short."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from lightning.pytorch.utilities.exceptions import SIGTERMException

NUMBERS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 10  # seconds in which later signals do nothing


class Interrupted(BaseException):
    """A run was stopped from outside; `signal` is the number of the signal that did it."""

    def __init__(self, signal: int):
        super().__init__(signal)
        self.signal = signal


class _State:
    caught: int | None = None  # the first signal
    since = 0.0  # when it came
    noted = False  # somebody else handled it


_state = _State()


def listen() -> None:
    """Let the first Ctrl-C or SIGTERM from now on raise `Interrupted`; later ones do nothing.

    A flag, rather than another handler, remembers the first: Lightning puts back the handlers that
    it found when a fit ends, and a second signal is sent as a rule (by a pool, by an impatient
    user) while the row of an interrupted run is being written. One that comes much later raises
    again, because Python drops exceptions that are raised inside a finalizer.
    """
    _state.caught, _state.noted = None, False
    for number in NUMBERS:
        signal.signal(number, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The handler that `listen` installs, to be called by others that decide more."""
    now = time.monotonic()
    if _state.caught is None or now - _state.since > PATIENCE:
        _state.caught, _state.since = number, now
        raise Interrupted(number)


def listen_to_keys() -> None:
    """Let Ctrl-C raise `Interrupted`, and keep SIGTERM away.

    For jobs of a cluster, which sends SIGTERM long before it ends one, and another signal to those
    who asked for it: a job that left at SIGTERM would not be requeued.
    """
    _state.caught, _state.noted = None, False
    signal.signal(signal.SIGINT, interrupt)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def note(number: int) -> None:
    """Remember a signal that somebody else handles, by raising what he likes, right now."""
    _state.caught, _state.since, _state.noted = number, time.monotonic(), True


def behind(error: BaseException) -> int | None:
    """The number of the signal behind an exception; None if no signal is.

    Lightning turns Ctrl-C inside `fit` into SystemExit, and SIGTERM into an exception of its own.
    """
    if isinstance(error, Interrupted):
        return error.signal
    if _state.noted:
        return _state.caught
    if isinstance(error, SIGTERMException):
        return signal.SIGTERM
    pressed = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return signal.SIGINT if pressed or isinstance(error, KeyboardInterrupt) else None


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait while the block runs, such as until a row is written."""
    waiting = {*NUMBERS, signal.SIGUSR1, signal.SIGUSR2}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
