"""What is written in the place of a process that ended without a row, and what never is."""

import os
import time

import pytest

from scaling.runs import lifecycle
from scaling.runs.lifecycle import bury, give_up, train
from scaling.storage import heartbeats, locks
from scaling.storage.rows import ROW_FILE, Row, read_row, write_row


@pytest.fixture
def cell(command, monkeypatch):
    """A cell that was trained, and its folder."""
    from scaling.sweeps import command as sweep

    seen = []
    work = sweep.work

    def watch(asked, **how):
        seen.extend(asked)
        return work(asked, **how)

    monkeypatch.setattr(sweep, "work", watch)
    assert command("seed=3").code == 0
    return seen[0]


def write(cell, status: str) -> None:
    row = read_row(cell.folder)
    write_row(Row(**vars(row) | {"status": status}), cell.folder)


def test_a_finished_row_is_never_buried(cell):
    before = (cell.folder / ROW_FILE).read_bytes()
    assert bury(cell, "killed").status == "done"
    assert (cell.folder / ROW_FILE).read_bytes() == before


def test_a_run_that_was_begun_anew_and_killed_is_buried(cell):
    time.sleep(0.02)
    heartbeats.write(cell.folder, step=1)
    row = bury(cell, "killed")
    assert (row.status, row.error) == ("failed", "killed")
    assert read_row(cell.folder) == row
    assert heartbeats.read(cell.folder) is None


def test_a_damaged_row_is_left_and_told(cell):
    file = cell.folder / ROW_FILE
    file.write_text("rubbish")
    assert isinstance(bury(cell, "killed"), ValueError)
    assert isinstance(train(cell), ValueError)
    give_up(cell)
    assert file.read_text() == "rubbish"


def test_a_cell_that_somebody_holds_is_not_buried(cell):
    write(cell, "failed")
    with locks.hold(cell.folder):
        assert bury(cell, "killed") is None


def test_an_interrupted_process_that_wrote_no_row_gets_one(cell):
    write(cell, "failed")
    heartbeats.write(cell.folder, step=1)
    give_up(cell)
    assert read_row(cell.folder).status == "interrupted"


def test_a_full_disk_is_told_and_ends_nothing(cell, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    write(cell, "failed")
    monkeypatch.setattr(locks, "hold", full)
    heartbeats.write(cell.folder, step=1)
    assert isinstance(train(cell), OSError)
    assert isinstance(bury(cell, "killed"), OSError)
    give_up(cell)


def test_a_beat_that_is_older_than_its_row_means_nothing(cell):
    heartbeats.write(cell.folder, step=1)
    os.utime(cell.folder / heartbeats.FILE, ns=(0, 0))
    assert lifecycle.finished(cell).status == "done"
    heartbeats.write(cell.folder, step=1)
    os.utime(cell.folder / ROW_FILE, ns=(0, 0))
    assert lifecycle.finished(cell) is None


def test_a_row_that_an_interrupted_process_wrote_keeps_its_measurements(cell):
    write(cell, "interrupted")
    row = bury(cell, None)
    assert (row.status, row.measured["steps"]) == ("interrupted", 6)
    assert bury(cell, "its job ended") == row
