"""Ctrl-C and SIGTERM, raised once: what is put in order after the first is not cut short."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

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
    it found when a fit ends, and a second signal comes as a rule (from a pool, from an impatient
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
    """Let Ctrl-C raise `Interrupted`, and be deaf to SIGTERM.

    For jobs of a cluster, which sends SIGTERM long before it ends one, and another signal to those
    who asked for it: a job that left at SIGTERM would not be requeued.
    """
    _state.caught, _state.noted = None, False
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def note(number: int) -> None:
    """Remember a signal that somebody else handles, by raising what he likes, right now."""
    _state.caught, _state.since, _state.noted = number, time.monotonic(), True


def behind(error: BaseException) -> int | None:
    """The number of the signal behind an exception; None if no signal is.

    Where nobody listens, as in processes of Hydra's launchers, Ctrl-C is a KeyboardInterrupt, which
    Lightning turns into SystemExit inside `fit`.
    """
    if isinstance(error, Interrupted):
        return error.signal
    if _state.noted:
        return _state.caught
    pressed = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return signal.SIGINT if pressed or isinstance(error, KeyboardInterrupt) else None


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait while the block runs, such as until a row is written.

    Handlers are exchanged for it. A mask would be of no use, because it holds for one thread, and a
    signal goes to any that takes it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the main thread alone
        return
    came: list[int] = []
    waiting = (*NUMBERS, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.signal(number, lambda it, _: came.append(it)) for number in waiting}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for waited in came:
            signal.raise_signal(waited)
