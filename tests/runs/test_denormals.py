"""Denormal numbers are flushed to zero while a run trains, and at no other time."""

import contextlib

import pytest
import torch

from scaling.runs.denormals import flushed

TINY = 1e-40  # a float32 below the smallest normal one


def vanishes() -> bool:
    return bool(torch.tensor(TINY) * 1 == 0)


pytestmark = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="this processor cannot flush denormals"
)


def test_within_they_are_zero_and_afterwards_they_are_not():
    with flushed():
        assert vanishes()
    assert not vanishes()


def test_an_error_leaves_nothing_behind():
    with contextlib.suppress(ZeroDivisionError), flushed():
        _ = 1 / 0
    assert not vanishes()


def test_a_process_that_flushed_before_still_does():
    with flushed():
        with flushed():
            pass
        assert vanishes()
