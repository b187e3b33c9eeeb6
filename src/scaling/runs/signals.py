"""Ctrl-C and SIGTERM, raised once, so that cleaning up after the first is not interrupted."""

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
    noted = False  # other code handled it


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
    """Raise `Interrupted`: the handler that `listen` installs, also called by other handlers."""
    now = time.monotonic()
    if _state.caught is None or now - _state.since > PATIENCE:
        _state.caught, _state.since = number, now
        raise Interrupted(number)


def listen_to_keys() -> None:
    """Let Ctrl-C raise `Interrupted`, and ignore SIGTERM.

    For jobs of a cluster: it sends SIGTERM long before it ends a job, and the signal that was asked
    for. A job that left at SIGTERM would not be requeued.
    """
    _state.caught, _state.noted = None, False
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def note(number: int) -> None:
    """Remember a signal that other code is handling, with an exception of its own."""
    _state.caught, _state.since, _state.noted = number, time.monotonic(), True


def behind(error: BaseException) -> int | None:
    """The number of the signal behind an exception; None if no signal is.

    Without `listen`, as in processes of Hydra's launchers, Ctrl-C is a KeyboardInterrupt, which
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
    """Delay signals until the end of the block, such as until a row is written.

    Replaces the handlers. A mask would not help: it holds for one thread, and a signal goes to any
    thread that accepts it.
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
