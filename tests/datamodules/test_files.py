"""Files are identified by their current state."""

import os
from pathlib import Path

from scaling.datamodules.files import data_folder, file_at


def test_a_changed_file_has_another_key_even_if_its_time_is_set_back(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    before, stat = file_at(path), path.stat()
    assert file_at(path) == before
    path.write_text("two")  # of the same size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = file_at(path)
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before


def test_a_data_set_is_looked_for_below_the_variable_only_if_it_is_there(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("SCALING_DATA", str(tmp_path))
    assert data_folder(None, "mnist") == tmp_path / "mnist"
    assert data_folder("elsewhere", "mnist") == Path("elsewhere")
    assert data_folder(None, "wikitext2") is None
    for unset in ("", None):
        monkeypatch.setenv("SCALING_DATA", "") if unset == "" else monkeypatch.delenv(
            "SCALING_DATA"
        )
        assert data_folder(None, "mnist") is None
