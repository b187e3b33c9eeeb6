"""The state of a run, as its folder shows it."""

import dataclasses
import os

import pytest

from scaling.storage import heartbeats
from scaling.storage.rows import ROW_FILE, Row, write_row
from scaling.storage.run_state import RunState, read_state, state_of


def row(status: str = "done", error: str | None = None) -> Row:
    return Row(
        study="s", run="r", digest="0", status=status, error=error, model="m", data="d",
        optimizer="o", protocol="steps", config={},
    )  # fmt: skip


def test_a_state_is_a_status_and_a_message_and_cannot_be_changed():
    state = RunState("corrupt", "row.json cannot be read")
    assert str(state) == "corrupt: row.json cannot be read"
    assert not state.finished
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.status = "done"


@pytest.mark.parametrize("status", ["done", "diverged", "failed", "interrupted"])
def test_the_state_of_a_row(status):
    state = state_of(row(status=status, error="first line\nsecond" if status == "failed" else None))
    assert state.finished == (status in ("done", "diverged"))
    assert str(state) == ("failed: first line" if status == "failed" else status)


def test_the_state_of_a_folder(tmp_path):
    assert read_state(tmp_path) == RunState("missing")
    write_row(row(), tmp_path)
    assert read_state(tmp_path).status == "done"
    assert read_state(tmp_path).row is not None
    heartbeats.write(tmp_path, step=1)
    os.utime(tmp_path / ROW_FILE, ns=(0, 0))
    assert read_state(tmp_path) == RunState("interrupted")
    (tmp_path / ROW_FILE).write_text("rubbish")
    assert read_state(tmp_path).status == "corrupt"
    assert "delete it to train this run again" in read_state(tmp_path).message


def test_a_run_of_another_process_is_reported():
    assert str(RunState("held")) == "held by another process"
