"""Rows: written completely or not at all, read unchanged, and refused if damaged."""

import json
import math
import warnings
from pathlib import Path

import pandas as pd
import pytest
from rows import write_sweep

from scaling import results
from scaling.contracts.columns import FIXED
from scaling.contracts.settings import by_setting
from scaling.storage.rows import ROW_FILE, Row, read_row, write_row
from scaling.storage.tables import write_part


def row(run: str = "a", **changes) -> Row:
    config = {"batch": 32, "lr": 0.001, "clip": math.inf, "seed": 0, "model": {"d_model": 64}}
    settings = {
        "study": "scratch",
        "run": run,
        "digest": run,
        "status": "done",
        "model": "m",
        "data": "d",
        "optimizer": "o",
        "protocol": "steps",
        "config": config | changes.pop("config", {}),
        "measured": {"val_loss": 2.5, "steps": 300, "update_norm": math.nan},
    }
    return Row(**settings | changes)


def written(folder: Path, *rows: Row) -> Path:
    for each in rows:
        (folder / each.run).mkdir()
        write_row(each, folder / each.run)
    return folder


def test_a_row_is_read_as_it_was_written(tmp_path):
    written(tmp_path, row())
    got = read_row(tmp_path / "a")
    assert got.config == row().config  # with its infinite clip
    assert got.measured == {"val_loss": 2.5, "steps": 300}  # what was not measured is missing


def test_the_file_is_strict_json_and_nothing_else_is_left_behind(tmp_path):
    written(tmp_path, row())

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads((tmp_path / "a" / ROW_FILE).read_text(), parse_constant=refuse)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [ROW_FILE]


def test_a_row_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    written(tmp_path, row())

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_row(row(status="failed", error="x"), tmp_path / "a")
    assert read_row(tmp_path / "a").status == "done"
    assert [path.name for path in (tmp_path / "a").iterdir()] == [ROW_FILE]


def test_reading_gives_fixed_columns_first_and_the_keys_that_vary(tmp_path):
    wide = row("b", config={"lr": 0.01, "model": {"d_model": 128}, "optimizer": {"lr": 0.01}})
    narrow = row("a", config={"optimizer": {"lr": 0.001}})
    table = results.read(written(tmp_path, narrow, wide))
    assert list(table.columns[: len(FIXED)]) == list(FIXED)
    assert table["model.d_model"].tolist() == [64, 128]
    assert "optimizer.lr" not in table  # the same as lr
    assert table["clip"].tolist() == [math.inf, math.inf]
    assert table["val_loss"].tolist() == [2.5, 2.5]
    assert table["test_accuracy"].isna().all()


def test_folders_are_merged_and_searched_at_any_depth(tmp_path):
    for study in ("x", "y"):
        (tmp_path / "multirun" / study).mkdir(parents=True)
        written(tmp_path / "multirun" / study, row(study=study))
    both = results.read(tmp_path / "multirun" / "x", tmp_path / "multirun" / "y")
    assert both["study"].tolist() == ["x", "y"]
    assert results.read(tmp_path)["study"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: text.replace("2.5", "1.5"), "checksum"),
        (lambda text: text.replace('"schema": 2', '"schema": 0'), "schema"),
        (lambda text: "", "cannot be read"),
        (lambda text: "[]", "schema"),
    ],
    ids=["cut", "edited", "other schema", "empty", "no record"],
)
def test_a_damaged_row_is_reported_and_kept(tmp_path, damage, said):
    written(tmp_path, row("a"), row("b"))
    file = tmp_path / "a" / ROW_FILE
    damaged = damage(file.read_text())
    file.write_text(damaged)
    with pytest.warns(UserWarning, match=f"{said}.*delete it") as caught:
        table = results.read(tmp_path)
    assert str(file) in str(caught[0].message)
    assert table["status"].tolist() == ["corrupt", "done"]
    assert file.read_text() == damaged


def test_a_folder_without_rows_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing does not exist"):
        results.read(tmp_path / "nothing")


def test_tables_of_runs_are_joined_under_their_names(tmp_path):
    written(tmp_path, row("a"), row("b"))
    for run in "ab":
        write_part(tmp_path / run / "steps", {"step": [0, 1], "lr": [0.1, 0.1]}, first=0)
        write_part(tmp_path / run / "steps", {"step": [2], "lr": [0.1]}, first=2)
    table = results.steps(tmp_path)
    assert table["run"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["step"].tolist() == [0, 1, 2] * 2
    assert results.layers(tmp_path).empty
    pd.testing.assert_frame_equal(results.table("steps", tmp_path), table)


def test_a_damaged_table_of_a_run_is_named_and_those_of_the_others_are_read(tmp_path):
    written(tmp_path, row("a"), row("b"))
    for run in "ab":
        write_part(tmp_path / run / "steps", {"step": [0, 1]}, first=0)
        write_part(tmp_path / run / "steps", {"step": [2]}, first=2)
    torn = tmp_path / "a" / "steps" / "000000002.parquet"
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=f"damaged table: {torn} cannot be read .* delete its run"):
        table = results.steps(tmp_path)
    assert table["run"].tolist() == ["b"] * 3
    assert len(results.read(tmp_path)) == 2


def test_a_table_that_no_run_has_is_refused_with_the_names_of_those_that_exist(tmp_path):
    written(tmp_path, row("a"))
    with pytest.raises(ValueError, match=f"no table nosuch below {tmp_path}; there is no table$"):
        results.table("nosuch", tmp_path)
    for name in ("steps", "epochs"):
        write_part(tmp_path / "a" / name, {"step": [0]}, first=0)
    with pytest.raises(ValueError, match="no table nosuch .*; the tables are epochs, steps$"):
        results.table("nosuch", tmp_path)


def test_the_log_folder_of_a_trainer_is_read_without_a_row(tmp_path):
    folder = tmp_path / "lightning_logs" / "version_0"
    write_part(folder / "steps", {"step": [0, 1]}, first=0)
    steps = results.steps(folder)
    assert steps["step"].tolist() == [0, 1]
    assert set(steps["study"]) == {"lightning_logs"}
    assert set(steps["run"]) == {"version_0"}
    pd.testing.assert_frame_equal(results.table("steps", folder), steps)
    with pytest.raises(ValueError, match="no table layers .*; the tables are steps$"):
        results.table("layers", folder)
    with pytest.raises(FileNotFoundError, match=r'but tables .* with scaling.table\("steps", fold'):
        results.read(folder)


def test_blocks_differ_in_something_other_than_batch_lr_and_seed(tmp_path):
    rows = [
        row("a", config={"lr": 0.1}),
        row("b", config={"lr": 0.2, "seed": 1}),
        row("c", config={"clip": 1.0, "model": {"d_model": 64}}),
        row("d", config={"clip": 1.0, "model": {"d_model": 128}}),
    ]
    blocks = dict(by_setting(results.read(written(tmp_path, *rows))))
    assert {title: len(block) for title, block in blocks.items()} == {
        "clip=1, model.d_model=64": 1,
        "clip=1, model.d_model=128": 1,
        "clip=inf, model.d_model=64": 2,
    }


def test_reading_warns_of_nothing_when_nothing_is_wrong(tmp_path):
    written(tmp_path, row("a"), row("b", status="failed", error="x", measured={}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results.read(tmp_path)["status"].tolist() == ["done", "failed"]


def test_switches_of_the_command_are_not_columns(tmp_path):
    one = row("a", config={"workers": 2, "fail_fast": True, "save_every": 0.0})
    other = row("b", config={"workers": None, "fail_fast": False, "save_every": 30.0, "lr": 0.1})
    table = results.read(written(tmp_path, one, other))
    assert not {"workers", "fail_fast", "save_every"} & set(table)
    assert sorted(table["lr"]) == [0.001, 0.1]


def test_settings_keep_the_given_keys_together(tmp_path):
    rows = results.read(write_sweep(tmp_path / "sweep", clips=(0.5, 1.0)))
    assert [title for title, _ in by_setting(rows)] == ["clip=0.5", "clip=1"]
    ((title, block),) = by_setting(rows, together=("clip",))
    assert (title, len(block)) == ("", len(rows))
