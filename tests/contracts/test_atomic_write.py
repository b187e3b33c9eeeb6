"""A file is complete at any moment, and one module writes it so."""

import ast
import os
from pathlib import Path

import pytest

import scaling
from scaling.contracts.atomic_write import atomic_write
from scaling.storage import heartbeats


@pytest.fixture
def flushed(monkeypatch) -> list[int]:
    """Sizes of the files that were flushed to disk."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    return sizes


def test_a_file_is_replaced_at_the_end_and_flushed_before(tmp_path, flushed):
    path = tmp_path / "row.json"
    path.write_text("old")
    with atomic_write(path) as draft:
        draft.write_text("newer")
        assert path.read_text() == "old"
        assert not flushed
    assert path.read_text() == "newer"
    assert flushed == [5]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_file_as_it_was_and_no_draft(tmp_path, flushed):
    path = tmp_path / "row.json"
    path.write_text("old")

    def interrupted():
        with atomic_write(path) as draft:
            draft.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_draft_of_a_process_that_died_is_overwritten(tmp_path):
    path = tmp_path / "row.json"
    with atomic_write(path) as draft:
        draft.write_text("whole")
        left = draft
    left.write_text("half of a longer text")
    with atomic_write(path) as draft:
        draft.write_text("again")
    assert path.read_text() == "again"
    assert list(tmp_path.iterdir()) == [path]


def test_a_heartbeat_is_not_flushed(tmp_path, flushed):
    heartbeats.write(tmp_path, step=3)
    beat = heartbeats.read(tmp_path)
    assert beat is not None
    assert beat.step == 3
    assert not flushed


def test_no_other_module_flushes_or_names_drafts():
    source = Path(scaling.__file__).parent
    calls = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr == "fsync")
        or (isinstance(node, ast.Constant) and str(node.value).endswith(".draft"))
    }
    assert calls == {"contracts/atomic_write.py"}
