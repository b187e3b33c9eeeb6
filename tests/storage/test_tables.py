"""Growing tables: no row is lost, repeated or half written."""

import pandas as pd
import pytest

from scaling.storage.tables import Recorder, read_parts, write_part


def test_parts_join_to_the_table_that_was_recorded(tmp_path):
    recorder = Recorder(tmp_path / "steps", rows_per_part=4)
    for i in range(0, 11, 3):
        recorder.extend({"step": [i, i + 1, i + 2], "loss": [0.5, float("nan"), i]})
    recorder.flush()
    table = read_parts(tmp_path / "steps")
    assert table["step"].tolist() == list(range(12))
    pd.testing.assert_frame_equal(table, pd.DataFrame(recorder.columns), check_dtype=False)
    assert len(list((tmp_path / "steps").iterdir())) > 1


def test_flushing_twice_writes_nothing_twice(tmp_path):
    recorder = Recorder(tmp_path, rows_per_part=100)
    recorder.extend({"step": [0, 1]})
    recorder.flush()
    recorder.flush()
    assert read_parts(tmp_path)["step"].tolist() == [0, 1]


def test_a_new_table_replaces_an_earlier_one(tmp_path):
    write_part(tmp_path, {"step": [7, 8, 9]}, first=0)
    Recorder(tmp_path, rows_per_part=1).extend({"step": [0]})
    assert read_parts(tmp_path)["step"].tolist() == [0]


def test_rows_that_do_not_fit_are_refused(tmp_path):
    recorder = Recorder(tmp_path, rows_per_part=9)
    recorder.extend({"step": [0]})
    with pytest.raises(ValueError, match="do not fit"):
        recorder.extend({"other": [1]})
    with pytest.raises(ValueError, match="do not fit"):
        recorder.extend({"step": [1, 2], "loss": [0.0]})


def test_a_draft_that_was_never_finished_is_not_read(tmp_path):
    (tmp_path / ".000000000.draft").write_bytes(b"PAR1 half")
    assert read_parts(tmp_path).empty
