"""The first signal ends a run; later ones do not damage what it writes."""

import contextlib
import os
import signal
import threading
import time

import pytest

from scaling.runs import signals
from scaling.runs.signals import Interrupted


@pytest.fixture(autouse=True)
def own_handlers():
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.NUMBERS)
def test_the_first_signal_raises_and_the_next_ones_do_nothing(number):
    signals.listen()
    with pytest.raises(Interrupted) as stop:
        os.kill(os.getpid(), number)
    assert stop.value.signal == number
    for other in signals.NUMBERS:
        os.kill(os.getpid(), other)


def test_a_handler_that_lightning_puts_back_still_knows_the_first_signal():
    signals.listen()
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, handler)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_comes_much_later_raises_again(monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE", -1.0)
    signals.listen()
    for _ in range(2):
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_at_the_start_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell script does for `command &`
    signals.quit_before_runs()
    signals.begin()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.signal == signal.SIGTERM


def test_a_lost_exception_is_raised_again_until_a_run_caught_it():
    signals.listen()
    signals.raise_dropped()
    with contextlib.suppress(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted) as again:
        signals.raise_dropped()
    assert signals.behind(again.value) == signal.SIGTERM
    signals.raise_dropped()
    signals.note(signal.SIGUSR2)
    signals.raise_dropped()


def test_signals_wait_while_they_are_held_back_also_beside_other_threads():
    signals.listen()
    end = threading.Event()
    other = threading.Thread(target=end.wait)  # would take the signals that this one masks
    other.start()
    seen = []
    with pytest.raises(Interrupted), signals.held_back():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        seen.append("after the signal")
    end.set()
    other.join()
    assert seen == ["after the signal"]


def test_a_job_hears_ctrl_c_and_not_sigterm():
    signals.listen_to_keys()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_signal_behind_an_exception_is_found():
    signals.listen()
    assert signals.behind(Interrupted(15)) == 15
    assert signals.behind(KeyboardInterrupt()) == signal.SIGINT
    assert signals.behind(SystemExit(3)) is None
    assert signals.behind(ValueError("no")) is None
    pressed = SystemExit(1)
    pressed.__context__ = KeyboardInterrupt()
    assert signals.behind(pressed) == signal.SIGINT
    signals.note(signal.SIGUSR2)
    assert signals.behind(SystemExit(3)) == signal.SIGUSR2
    signals.listen()
    assert signals.behind(SystemExit(3)) is None
