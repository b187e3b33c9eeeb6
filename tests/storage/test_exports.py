"""Any table is read as rows, and a warning says what is assumed for missing columns."""

import math

import pandas as pd
import pytest
from rows import write_sweep

from scaling import results
from scaling.contracts.settings import by_setting
from scaling.reporting import build
from scaling.storage.rows import ROW_FILE
from scaling.storage.tables import write_part


def test_an_exported_table_reads_like_its_runs(tmp_path):
    folder = write_sweep(tmp_path / "sweep", clips=(1.0, math.inf), seeds=(0, 1))
    rows = results.read(folder)
    rows.to_csv(tmp_path / "kept.csv", index=False)
    kept = results.read(tmp_path / "kept.csv")
    pd.testing.assert_frame_equal(kept, rows, check_dtype=False)
    other = write_sweep(tmp_path / "other", status="failed", error="a b", measured={})
    both = results.read(tmp_path / "kept.csv", other)
    assert list(both["study"].unique()) == ["sweep", "other"]
    assert len(both) == len(rows) + 6


def test_a_file_that_is_not_a_table_of_rows_is_refused(tmp_path):
    (tmp_path / "kept.csv").write_text("batch,rate\n8,0.1\n")
    with pytest.raises(
        ValueError,
        match="kept.csv is not a table of runs: it has no column lr, but 'rate'; name it with --c",
    ):
        results.read(tmp_path / "kept.csv")
    (tmp_path / "kept.csv").write_text("batch,lr,val_loss\n8,0.1,failed\n")
    with pytest.raises(ValueError, match="'failed' in its column val_loss, line 2; it must be a n"):
        results.read(tmp_path / "kept.csv")


def test_an_exported_table_without_a_row_is_refused(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    results.read(folder).iloc[:0].to_csv(tmp_path / "kept.csv", index=False)
    with pytest.raises(ValueError, match="kept.csv is a table without a row"):
        results.read(tmp_path / "kept.csv")


def test_missing_columns_of_another_programs_table_are_assumed_with_a_warning(tmp_path):
    (tmp_path / "mine.csv").write_text("lr,batch,val_loss,note\n0.1,8,2.5,a\n1,8,,b\n")
    with (
        pytest.warns(UserWarning, match="mine.csv has columns that are not used: note"),
        pytest.warns(UserWarning, match="mine.csv has missing columns.* clip.* seed.* status"),
    ):
        rows = results.read(tmp_path / "mine.csv")
    assert list(rows["status"]) == ["done", "diverged"]
    assert list(rows["run"]) == ["line 2", "line 3"]
    assert set(rows["study"]) == {"mine"}
    assert (rows["clip"] == math.inf).all()
    assert list(rows["note"]) == ["a", "b"]


def test_repeats_of_a_cell_are_its_seeds(tmp_path):
    lines = [f"8,{lr},{loss}" for lr in (0.1, 1) for loss in (2.0, 2.1, 2.2)]
    (tmp_path / "mine.csv").write_text("\n".join(["batch,lr,val_loss", *lines]))
    with pytest.warns(UserWarning, match="repeats of a cell are its seeds"):
        rows = results.read(tmp_path / "mine.csv")
    assert list(rows["seed"]) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("lr", ["", "0", "-1"])
def test_an_invalid_learning_rate_is_refused_with_its_line(tmp_path, lr):
    (tmp_path / "mine.csv").write_text(f"batch,lr,val_loss\n8,0.1,2\n8,{lr},2\n")
    with (
        pytest.raises(ValueError, match=r"mine.csv has no positive lr in line 3"),
        pytest.warns(UserWarning, match="has missing columns"),
    ):
        results.read(tmp_path / "mine.csv")


@pytest.mark.parametrize("content", [b"", b"batch,lr\n8,1,2\n8\n1,2,3,4\n", b"\xff\xfe,lr\n"])
def test_a_file_that_is_not_a_table_is_refused_by_its_name(tmp_path, content):
    (tmp_path / "kept.csv").write_bytes(content)
    with pytest.raises(ValueError, match="kept.csv is not a table of runs"):
        results.read(tmp_path / "kept.csv")


def test_an_exported_table_that_is_given_twice_is_read_once(tmp_path):
    rows = results.read(write_sweep(tmp_path / "sweep"))
    rows.to_csv(tmp_path / "kept.csv", index=False)
    assert len(results.read(tmp_path / "kept.csv", f"{tmp_path}/sweep/../kept.csv")) == len(rows)


def test_a_table_of_optima_has_no_losses(tmp_path):
    (tmp_path / "mine.csv").write_text("batch,lr\n8,0.1\n16,0.2\n")
    with pytest.warns(UserWarning, match="val_loss: each lr is the best one of its batch size"):
        rows = results.read(tmp_path / "mine.csv")
    assert rows["val_loss"].isna().all()
    assert set(rows["status"]) == {"done"}


def test_runs_of_a_cell_that_differ_in_a_possible_setting_are_not_seeds(tmp_path):
    lines = [f"8,{lr},2.0,{width},0.5" for lr in (0.1, 1) for width in (64, 128)]
    (tmp_path / "mine.csv").write_text("\n".join(["batch,lr,val_loss,width,other", *lines]))
    with pytest.raises(ValueError, match=r"differ in width; call it `seed` if it is one, or model"):
        results.read(tmp_path / "mine.csv")
    named = (tmp_path / "mine.csv").read_text().replace("width", "model.width")
    (tmp_path / "mine.csv").write_text(named)
    with pytest.warns(UserWarning, match="has missing columns"):
        rows = results.read(tmp_path / "mine.csv")
    assert [title for title, _ in by_setting(rows)] == ["model.width=64", "model.width=128"]


def with_epochs(folder):
    """A sweep whose runs have a table of two epochs each."""
    for i, run in enumerate(sorted(folder.glob("*/row.json"))):
        columns = {"epoch": [0, 1], "step": [5, 10], "val_accuracy": [0.123456789, i / 7]}
        write_part(run.parent / "epochs", columns, first=0)
    return folder


def test_an_exported_sweep_is_read_like_the_sweep(tmp_path):
    folder = with_epochs(write_sweep(tmp_path / "sweep", seeds=(0, 1)))
    build.export([folder], tmp_path / "kept")
    there = tmp_path / "kept"
    pd.testing.assert_frame_equal(
        results.read(there), results.read(folder), check_dtype=False, rtol=1e-5
    )
    pd.testing.assert_frame_equal(
        results.epochs(there), results.epochs(folder), check_dtype=False, rtol=1e-4,
        check_categorical=False,
    )  # fmt: skip
    assert results.steps(there).empty
    assert sorted(path.name for path in there.iterdir()) == ["epochs.parquet", "rows.csv"]


def test_exported_and_new_runs_are_read_together(tmp_path):
    folder = with_epochs(write_sweep(tmp_path / "sweep"))
    build.export([folder], tmp_path / "kept")
    other = with_epochs(write_sweep(tmp_path / "other"))
    assert list(results.read(tmp_path / "kept", other)["study"].unique()) == ["sweep", "other"]
    assert len(results.epochs(tmp_path / "kept", other)) == 24


def test_the_folder_of_a_report_is_an_exported_sweep(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    build.write([folder], folder / "report")
    assert len(results.read(folder / "report")) == len(results.read(folder)) == 6


def test_a_damaged_exported_table_is_named(tmp_path):
    build.export([with_epochs(write_sweep(tmp_path / "sweep"))], tmp_path / "kept")
    (tmp_path / "kept" / "epochs.parquet").write_bytes(b"PAR1 torn")
    said = r"damaged table: .*epochs.parquet cannot be read .*; export the sweep again"
    with pytest.warns(UserWarning, match=said):
        assert results.epochs(tmp_path / "kept").empty


def table(folder, *lines: str):
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")
    return folder / "mine.csv"


@pytest.mark.filterwarnings("ignore:.*has missing columns")
def test_fields_beyond_the_header_are_refused_and_move_no_column(tmp_path):
    for line in ("8,0.001,2.0,", "8,0.001,2.0,7"):
        with pytest.raises(ValueError, match="than its header; do they end with a comma"):
            results.read(table(tmp_path, "batch,lr,val_loss", line, line))


@pytest.mark.filterwarnings("ignore:.*has missing columns")
def test_a_status_is_known_whatever_its_case_and_an_unknown_one_is_named(tmp_path):
    header = "batch,lr,val_loss,status"
    rows = results.read(table(tmp_path, header, "8,1,2.0, Done", "8,2,,DIVERGED", "8,3,2.1,"))
    assert rows["status"].tolist() == ["done", "diverged", "done"]
    with pytest.raises(ValueError, match="unknown status true; known statuses: done, finished"):
        results.read(table(tmp_path, header, "8,1,2.0,finished", "8,2,2.0,True"))


@pytest.mark.filterwarnings("ignore:.*has missing columns")
@pytest.mark.parametrize(
    ("line", "said"),
    [("8,1,2.0,0", "no positive clip in line 3; no clipping is inf"),
     ("8,1,2.0,-1", "no positive clip"), ("8,inf,2.0,1", "no positive lr in line 3")],
)  # fmt: skip
def test_an_invalid_ceiling_or_learning_rate_is_refused(tmp_path, line, said):
    with pytest.raises(ValueError, match=said):
        results.read(table(tmp_path, "batch,lr,val_loss,clip", "8,2,2.0,", line))


@pytest.mark.filterwarnings("ignore:.*has missing columns")
def test_a_name_that_looks_like_a_missing_value_is_a_name(tmp_path):
    rows = results.read(table(tmp_path, "study,batch,lr,val_loss", "NA,8,1,NaN", "None,8,2,2.0"))
    assert rows["study"].tolist() == ["NA", "None"]
    assert math.isnan(rows["val_loss"][0])


def test_foreign_columns_that_are_not_used_are_named(tmp_path):
    lines = ("batch,lr,clip,seed,status,val_loss,width,model.depth,note", "8,1,1,0,done,2,8,1,x")
    path = table(tmp_path, *lines, "8,2,1,0,done,2.1,9,2,x")
    with pytest.warns(UserWarning, match="columns that are not used: width; a setting is called"):
        rows = results.read(path)
    assert len(list(by_setting(rows))) == 2


def test_seeds_and_checksums_stay_exact_beside_a_damaged_row(tmp_path):
    measured = {"labels_checksum": 2_886_794_831.0, "val_loss": 2.123456789}
    folder = write_sweep(tmp_path / "s", seeds=(12_345_678, 12_345_679), measured=measured)
    (folder / "torn").mkdir()
    (folder / "torn" / ROW_FILE).write_text("torn")
    with pytest.warns(UserWarning, match="corrupt row"):
        build.export([folder], tmp_path / "kept")
    rows = results.read(tmp_path / "kept")
    assert set(rows["seed"].dropna()) == {12_345_678, 12_345_679}
    assert set(rows["labels_checksum"].dropna()) == {2_886_794_831}
    assert rows["val_loss"].dropna().iloc[0] == 2.12346  # measurements have five digits


def test_a_folder_of_runs_is_read_as_runs_whatever_else_lies_there(tmp_path):
    folder = write_sweep(tmp_path / "s")
    results.read(folder).iloc[:2].to_csv(folder / "rows.csv", index=False)
    assert len(results.read(folder)) == 6


def test_a_study_that_was_renamed_keeps_its_steps(tmp_path):
    folder = write_sweep(tmp_path / "before")
    for run in folder.iterdir():
        write_part(run / "steps", {"step": [0]}, first=0)
    folder.rename(tmp_path / "after")
    rows, steps = results.read(tmp_path / "after"), results.steps(tmp_path / "after")
    assert set(rows["study"]) == set(steps["study"]) == {"after"}


def test_settings_of_an_exported_sweep_are_those_of_its_runs(tmp_path):
    folder = write_sweep(tmp_path / "s", lrs=(0.000316227766017, 1 / 3), clips=(1 / 3, math.inf))
    build.export([folder], tmp_path / "kept")
    both = results.read(folder, tmp_path / "kept")
    assert both["lr"].nunique() == both["clip"].nunique() == 2


@pytest.mark.filterwarnings("ignore:.*has missing columns")
def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has two columns lr; keep one of each"):
        results.read(table(tmp_path, "batch,lr,lr,val_loss", "8,1,2,2.0"))
