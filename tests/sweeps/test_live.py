"""A running sweep is shown by a display on a terminal, and by plain lines elsewhere."""

import io
import math
import os
import pty
import re

import pytest
from processes import HANG, SMALL, start
from rich.console import Console
from test_pace import cell

from scaling.storage import heartbeats
from scaling.storage.rows import Row
from scaling.storage.run_state import RunState
from scaling.sweeps import live
from scaling.sweeps.pace import Pace, Size


def ended(loss: float, **measured: float) -> RunState:
    row = Row.__new__(Row)
    object.__setattr__(row, "measured", {"val_loss": loss, **measured})
    return RunState("done", row=row)


@pytest.fixture
def shown(folder):
    """A display of cells, and what it draws on a terminal of some columns."""

    def show(cells, columns=80, lines=24, states=None):
        output = Console(file=io.StringIO(), width=columns, height=lines, force_terminal=True)
        labels = {one.folder: ",".join(one.overrides) for one in cells}
        states = states or {}
        todo = [one for one in cells if one.folder not in states]
        pace = Pace([(one, Size(640, 10)) for one in todo], 2)
        display = live.Display(cells, pace, labels, states, output)

        def drawn() -> list[str]:
            display.running.looked = -math.inf  # look again at once
            output.file.truncate(0)
            output.print(display.draw())
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.file.getvalue().lstrip("\0"))
            assert max(map(len, plain.splitlines())) <= columns
            return [line.rstrip() for line in plain.splitlines()]

        return display, drawn

    return show


def grid(batches, lrs, **more):
    cells = []
    for batch in batches:
        for lr in lrs:
            for seed in (0, 1):
                one = cell(batch=batch, lr=lr, seed=seed, **more)
                one.config.update(batch=batch, lr=lr)
                cells.append(one)
    return cells


@pytest.mark.parametrize("columns", [60, 100])
def test_it_shows_runs_and_the_mean_loss_of_seeds_that_ended(shown, columns):
    cells = grid([8, 16], [0.001, 0.01], clip=1.0)
    display, drawn = shown(cells, columns)
    assert "starting workers" in drawn()
    display.ended(cells[0], ended(2.5))
    display.ended(cells[1], ended(2.7))
    cells[2].folder.mkdir(parents=True)
    heartbeats.write(cells[2].folder, step=30, steps=60, speed=12.0, loss=3.25)
    bar, run, _, caption, *rows = drawn()
    assert bar.startswith("2 of 8 cells")
    assert run.startswith("batch=8,lr=0.01,seed=0  step 30/60  loss 3.250")
    assert run.endswith("12 steps/s") == (columns == 100)
    assert caption == "validation loss"
    assert [row.split() for row in rows] == [
        ["batch", "lr", "0.001", "0.01"], ["8", "2.600", ">"], ["16", "-", "-"],
    ]  # fmt: skip


def test_losses_that_mean_nothing_are_marks(shown):
    cells = grid([8, 16], [0.1])
    display, drawn = shown(cells)
    for one in cells[:2]:
        display.ended(one, ended(-6.5, uninformative_loss=1.0))
    assert [line.split() for line in drawn()[-3:]] == [
        ["batch", "lr", "0.1"],
        ["8", "#"],
        ["16", "-"],
    ]
    assert "loss" not in "".join(drawn())


def test_a_grid_that_is_wider_than_the_terminal_is_left_out(shown):
    _, drawn = shown(grid([8, 16], [0.001 * i for i in range(1, 15)]), columns=60)
    assert not any("batch" in line for line in drawn())


def test_with_several_settings_it_shows_the_grid_of_the_last_that_ended(shown):
    cells = [*grid([8, 16], [0.1], clip=1.0), *grid([8, 16], [0.1], clip=2.0)]
    display, drawn = shown(cells)
    display.ended(cells[5], ended(1.5))
    assert drawn()[-4:] == [
        "validation loss, clip=2.0",
        "batch  lr 0.1",
        "    8   1.500",
        "   16       -",
    ]


def test_cells_that_were_done_before_are_in_the_grid_and_not_counted(shown):
    cells = grid([8, 16], [0.1, 0.2])
    states = {one.folder: ended(2.0 + i) for i, one in enumerate(cells[:2])}
    states[cells[2].folder] = RunState("diverged")
    states[cells[3].folder] = RunState("failed", "no")
    _, drawn = shown(cells, states=states)
    bar, *_, first, second = drawn()
    assert bar.startswith("0 of 4 cells")
    assert first.split() == ["8", "2.500", "x~"]
    assert second.split() == ["16", "-", "-"]


def test_runs_that_were_killed_before_do_not_train(shown):
    cells = grid([8, 16], [0.1])
    cells[0].folder.mkdir(parents=True)
    heartbeats.write(cells[0].folder, step=30, steps=60)
    _, drawn = shown(cells)
    assert drawn()[1] == "starting workers"
    heartbeats.write(cells[0].folder, step=30, steps=60)
    assert drawn()[1].startswith("batch=8,seed=0  step 30/60")


def test_cells_that_need_attention_are_printed(shown):
    cells = grid([8], [0.1, 0.2])
    display, drawn = shown(cells)
    for one in cells[:2]:
        display.ended(one, RunState("failed", "ValueError: [no] such thing"))
    assert (
        "batch=8,lr=0.1,seed=0  failed: ValueError: [no] such thing"
        in display.output.file.getvalue()
    )
    assert drawn()[-1].split() == ["8", "x", "-"]


def test_a_pipe_gets_lines_even_if_colors_are_forced(folder, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    process = start("-m", *SMALL, "seed=0,1", "steps=3")
    out, _ = process.communicate(timeout=HANG)
    assert "[2/2]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("terminal", ["xterm", "dumb", ""])
def test_a_sweep_on_a_terminal_ends_with_its_table_once(folder, monkeypatch, terminal):
    monkeypatch.setenv("TERM", terminal) if terminal else monkeypatch.delenv("TERM", raising=False)
    ours, theirs = pty.openpty()
    process = start("-m", *SMALL, "seed=0,1,2", "steps=3", stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        said += part
    os.close(ours)
    assert process.wait(timeout=HANG) == 0
    text = said.decode()
    redrawn = terminal != "dumb"
    assert ("\x1b[?25l" in text) == redrawn
    assert text.rfind("\x1b[?25h") >= text.rfind("\x1b[?25l")  # the cursor is back
    assert text.count("Validation loss in nats") == 1
    assert ("[3/3]" in text) != redrawn
    assert "Traceback" not in text
