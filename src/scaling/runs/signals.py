"""Raise Ctrl-C and SIGTERM once, so that cleanup after the first signal is not interrupted."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from scaling.contracts import ctrl_c

NUMBERS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 10  # seconds in which later signals do nothing


class Interrupted(BaseException):
    """Raised if a signal stops a run; `signal` is its number."""

    def __init__(self, signal: int):
        super().__init__(signal)
        self.signal = signal


def quit_before_runs() -> None:
    """Let Ctrl-C and SIGTERM end this process with one line, until a run begins."""
    _state.quits = ctrl_c.prints("stopped before any run started", signal.SIGTERM)


def begin() -> None:
    """Listen from now on, in a process in which signals would end it until a run begins."""
    if _state.quits is not None and _state.quits in map(signal.getsignal, NUMBERS):
        listen()


class _State:
    caught: int | None = None  # the first signal
    since = 0.0  # when it came
    noted = False  # other code handles it
    arrived = False  # its exception was caught by a run
    quits: Callable[[int, FrameType | None], None] | None = None  # handler before any run


_state = _State()


def _forget() -> None:
    _state.caught, _state.noted, _state.arrived = None, False, False


def listen() -> None:
    """Let the first Ctrl-C or SIGTERM from now on raise `Interrupted`; later ones do nothing.

    The first signal is remembered by a flag, not by another handler, because Lightning restores
    earlier handlers when a fit ends. A second signal often comes (from a pool, or a second Ctrl-C)
    while the row of an interrupted run is being written. A signal after `PATIENCE` seconds raises
    again, because Python drops exceptions raised inside a finalizer. Signals that are ignored stay
    so.
    """
    _forget()
    for number in ctrl_c.not_ignored(*NUMBERS):
        signal.signal(number, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise `Interrupted`; the handler of `listen`, also called by other handlers."""
    now = time.monotonic()
    if _state.caught is None or now - _state.since > PATIENCE:
        _state.caught, _state.since, _state.arrived = number, now, False
        raise Interrupted(number)


def raise_dropped() -> None:
    """Raise `Interrupted` again for a signal whose exception never reached a run.

    An exception that a handler raises is lost inside a finalizer, or inside library code that
    catches everything. Without this function, training would then continue until the process is
    killed.
    """
    if _state.caught is not None and not (_state.noted or _state.arrived):
        raise Interrupted(_state.caught)


def listen_to_keys() -> None:
    """Let Ctrl-C raise `Interrupted`, and ignore SIGTERM.

    For cluster jobs: they get SIGTERM long before they are ended, with the requested signal, and a
    job that exits at SIGTERM would not be requeued.
    """
    _forget()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def note(number: int) -> None:
    """Remember a signal that other code handles with its own exception."""
    _state.caught, _state.since, _state.noted = number, time.monotonic(), True


def behind(error: BaseException) -> int | None:
    """The number of the signal behind an exception; None if no signal is.

    Without `listen`, as in processes of Hydra's launchers, Ctrl-C raises KeyboardInterrupt, which
    Lightning turns into SystemExit inside `fit`.
    """
    if isinstance(error, Interrupted):
        _state.arrived = True
        return error.signal
    if _state.noted:
        return _state.caught
    pressed = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return signal.SIGINT if pressed or isinstance(error, KeyboardInterrupt) else None


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Delay signals until the end of the block, such as until a row is written.

    Replaces the handlers. A signal mask would not work: it applies to one thread, and a signal goes
    to any thread that accepts it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
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
