"""The bar of a run: drawn over itself on a terminal, and a line a minute in a file."""

import itertools
import sys
from functools import partial
from types import SimpleNamespace

import torch
from fits import STEPS, fit, module, text

from scaling.callbacks import progress

SGD = partial(torch.optim.SGD, lr=0.1)


def states(written: str) -> list[str]:
    """The states of a bar, in the order in which they were drawn."""
    return [state for state in written.replace("\n", "\r").split("\r") if "step" in state]


def test_a_file_gets_the_first_and_the_last_state_of_a_short_run(tmp_path, capsys):
    fit(module(SGD), text(), tmp_path, [progress.Progress()])
    first, *_, last = found = states(capsys.readouterr().err)
    assert len(found) == 2
    assert f"0/{STEPS}" in first
    assert f"{STEPS}/{STEPS}" in last


def test_a_terminal_gets_more_states_with_the_loss(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = itertools.count(0.0, 2.0).__next__
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr("tqdm.std.time", clock)
    fit(module(SGD), text(), tmp_path, [progress.Progress()])
    found = states(capsys.readouterr().err)
    assert len(found) > STEPS // 2
    assert "loss=" in found[-1]
