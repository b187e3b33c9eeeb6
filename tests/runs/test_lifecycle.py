"""Rows of processes that ended without one, and rows that are never replaced."""

import os
import time

import pytest

from scaling.runs.lifecycle import record_death, record_interrupted, train
from scaling.storage import heartbeats, locks
from scaling.storage.rows import ROW_FILE, Row, read_row, write_row
from scaling.storage.run_state import read_state

pytest_plugins = ("trained",)


@pytest.fixture
def cell(trained):
    """A cell that was trained, and its folder."""
    (only,) = trained("seed=3", "steps=3").cells
    return only


def write(cell, status: str) -> None:
    row = read_row(cell.folder)
    write_row(Row(**vars(row) | {"status": status}), cell.folder)


def test_a_finished_row_is_never_replaced(cell):
    before = (cell.folder / ROW_FILE).read_bytes()
    assert record_death(cell, "killed").status == "done"
    assert (cell.folder / ROW_FILE).read_bytes() == before


def test_a_run_that_was_begun_again_and_killed_gets_a_failed_row(cell):
    time.sleep(0.02)
    heartbeats.write(cell.folder, step=1)
    state = record_death(cell, "killed")
    assert (state.status, state.message) == ("failed", "killed")
    assert read_row(cell.folder) == state.row
    assert heartbeats.read(cell.folder) is None


def test_a_corrupt_row_is_reported_and_kept(cell):
    file = cell.folder / ROW_FILE
    file.write_text("rubbish")
    assert record_death(cell, "killed").status == "corrupt"
    assert train(cell).status == "corrupt"
    record_interrupted(cell)
    assert file.read_text() == "rubbish"


def test_a_cell_that_another_process_holds_is_left_alone(cell):
    write(cell, "failed")
    with locks.hold(cell.folder):
        assert record_death(cell, "killed").status == "held"


def test_an_interrupted_process_that_wrote_no_row_gets_one(cell):
    write(cell, "failed")
    heartbeats.write(cell.folder, step=1)
    record_interrupted(cell)
    assert read_row(cell.folder).status == "interrupted"


def test_a_full_disk_is_reported_and_ends_nothing(cell, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    write(cell, "failed")
    monkeypatch.setattr(locks, "hold", full)
    heartbeats.write(cell.folder, step=1)
    for state in (train(cell), record_death(cell, "killed")):
        assert (state.status, state.row) == ("failed", None)
        assert "No space left on device" in state.message
    record_interrupted(cell)


def test_a_beat_that_is_older_than_its_row_is_ignored(cell):
    heartbeats.write(cell.folder, step=1)
    os.utime(cell.folder / heartbeats.FILE, ns=(0, 0))
    assert read_state(cell.folder).finished
    heartbeats.write(cell.folder, step=1)
    os.utime(cell.folder / ROW_FILE, ns=(0, 0))
    assert read_state(cell.folder).status == "interrupted"


def test_a_row_that_an_interrupted_process_wrote_keeps_its_measurements(cell):
    write(cell, "interrupted")
    state = record_death(cell, None)
    assert state.status == "interrupted"
    assert state.row.measured["steps"] == 3
    assert record_death(cell, "its job ended") == state
