"""Done, running, failed and missing cells are reported correctly."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from scaling import status as status_command
from scaling.reporting import status
from scaling.storage import heartbeats, locks, plans
from scaling.storage.rows import ROW_FILE, Row, write_row

DIGEST = "0123456789ab"


def name(batch=8, lr=0.001, clip=1, seed=0) -> str:
    return f"batch={batch},lr={lr},clip={clip},seed={seed}-{DIGEST}"


def row(folder, *, state="done", error=None, **point):
    run = name(**point)
    (folder / run).mkdir(parents=True)
    written = Row(
        study=folder.name, run=run, digest=DIGEST, status=state, error=error, model="m", data="d",
        optimizer="o", protocol="steps", config={}, measured={"val_loss": 2.0},
    )  # fmt: skip
    write_row(written, folder / run)
    return folder / run


def plan(folder, *runs, typed=(), command="python -m scaling.train -m"):
    cells = [{"run": run, "digest": DIGEST, "overrides": list(typed)} for run in runs]
    plans.write(folder, command, cells)


def states(folder) -> dict[str, str]:
    return {cell.run: cell.state for cell in status.cells(folder)}


def look(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["status", *map(str, arguments)])
    try:
        code = status_command.main()
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def study(tmp_path):
    """Cells in every state except running."""
    folder = tmp_path / "study"
    row(folder, lr=0.001)
    row(folder, lr=0.1, state="diverged")
    row(folder, lr=0.01, state="failed", error="RuntimeError: no")
    row(folder, lr=0.02, state="interrupted")
    (row(folder, lr=0.03) / ROW_FILE).write_text("{}")
    (folder / name(lr=0.04)).mkdir()
    heartbeats.write(folder / name(lr=0.04), step=5, steps=10, speed=2.0)
    plan(folder, name(lr=0.001), name(lr=0.05))
    return folder


def test_the_marks_are_imported_without_torch_and_pandas():
    code = (
        "import sys; from scaling.reporting.status import MARKS; "
        "assert MARKS; assert not {'torch', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_state_is_reported_and_marked(study):
    assert states(study) == {
        name(lr=0.001): "done",
        name(lr=0.1): "diverged",
        name(lr=0.01): "failed",
        name(lr=0.02): "interrupted",
        name(lr=0.03): "corrupt",
        name(lr=0.04): "stale",
        name(lr=0.05): "missing",
    }
    said = status.text(status.cells(study))
    assert (
        "7 cells, 1 done, 1 diverged, 1 stale, 1 interrupted, 1 failed, 1 corrupt, 1 missing"
        in said
    )
    lines = said.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("batch"))
    assert lines[head].split("  ")[1:] == [
        f"lr {lr}" for lr in (0.001, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1)
    ]
    assert lines[head + 1].split() == ["8", "#", "x", "/", "!", "?", ".", "~"]
    assert "RuntimeError: no" in said


def test_a_running_cell_shows_its_step_its_speed_and_its_holder(study):
    run = study / name(lr=0.04)
    with locks.hold(run):
        (cell,) = [cell for cell in status.cells(study) if cell.run == run.name]
    assert (cell.state, cell.step, cell.steps, cell.speed) == ("running", 5, 10, 2.0)
    assert cell.pid == os.getpid()
    assert cell.beat == pytest.approx(0, abs=10)
    said = status.text([cell])
    assert "step 5 of 10  2 steps/s  about 2 s left" in said


def test_a_holder_without_recent_heartbeats_is_silent(study, monkeypatch):
    monkeypatch.setattr(heartbeats, "SILENT", -1.0)
    with locks.hold(study / name(lr=0.04)):
        assert states(study)[name(lr=0.04)] == "silent"


def test_reading_the_status_does_not_block_a_run(tmp_path):
    looking = (
        "import sys\nfrom pathlib import Path\nfrom scaling.storage import locks\n"
        "print(flush=True)\nwhile True: locks.is_held(Path(sys.argv[1]))"
    )
    with locks.hold(tmp_path):
        pass
    watchers = [
        subprocess.Popen([sys.executable, "-c", looking, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for watcher in watchers:
        watcher.stdout.readline()
    try:
        for _ in range(200):
            with locks.hold(tmp_path) as held:
                assert held
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.communicate()


def test_plans_of_all_commands_are_united_and_missing_cells_come_with_their_command(
    study, monkeypatch, capsys
):
    plan(study, name(lr=0.001), name(lr=0.05), name(lr=0.06), command="wider")
    plan(study, name(lr=0.001), command="done")
    code, out, _ = look(monkeypatch, capsys, study)
    assert code == 0
    assert "8 cells" in out
    assert "2 of 3 cells not done: wider" in out
    assert "1 of 2" not in out  # the wider command trains that one too
    assert "not done: done" not in out


def test_cells_of_a_live_sweep_wait_and_no_command_for_them_is_shown(study, monkeypatch, capsys):
    plan(study, *(name(lr=lr) for lr in (0.001, 0.05, 0.06)), command="wider")
    mine = {"run": name(lr=0.05), "digest": DIGEST, "overrides": [], "train": True}
    begun_again = mine | {"run": name(lr=0.01)}
    path = plans.write(study, "narrow", [mine, begun_again])
    with locks.locked(path):
        code, out, _ = look(monkeypatch, capsys, study)
        told = json.loads(look(monkeypatch, capsys, study, "--json")[1])
    assert code == 0
    assert "2 waiting" in out
    assert "- waiting" in out
    assert re.search(
        rf"^running \(pid {os.getpid()} on \S+ since .+\), 2 of 2 cells left: narrow$", out, re.M
    )
    assert "1 of 3 cells not done: wider" in out  # the live one trains another of its cells
    assert "not done: narrow" not in out
    assert told["counts"]["waiting"] == 2
    assert (told["running"][0]["cells"], told["running"][0]["owner"]["pid"]) == (2, os.getpid())
    assert [lack["command"] for lack in told["not_done"]] == ["wider"]
    _, out, _ = look(monkeypatch, capsys, study)
    assert "waiting" not in out
    assert "running (" not in out
    assert "2 of 2 cells not done: narrow" in out


def test_a_missing_cell_that_a_live_sweep_leaves_out_is_not_done(study, monkeypatch, capsys):
    cells = [
        {"run": name(lr=lr), "digest": DIGEST, "overrides": [], "train": train}
        for lr, train in ((0.01, True), (0.06, False))  # resume=failed
    ]
    with locks.locked(plans.write(study, "live", cells)):
        _, out, _ = look(monkeypatch, capsys, study)
    assert "1 of 2 cells left: live" in out
    assert "1 of 2 cells not done: live" in out


def test_a_run_of_another_host_counts_as_running_while_it_has_heartbeats(study, monkeypatch):
    run = study / name(lr=0.04)
    (run / locks.FILE).write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": 0.0}))
    assert states(study)[run.name] == "running"  # its lock is not visible here
    monkeypatch.setattr(heartbeats, "SILENT", -1.0)
    assert states(study)[run.name] == "stale"


def test_seeds_share_a_place_and_clips_and_settings_have_a_grid_each(tmp_path):
    folder = tmp_path / "study"
    runs = [name(clip=clip, seed=seed) for clip in (1, "inf") for seed in (0, 1, 2)]
    plan(folder, *runs, typed=("batch=8", "model.layers=2", "seed=0,1,2", "study=s"))
    other = f"batch=8,lr=0.001,clip=1,seed=0-{'f' * 12}"
    plan(folder, other, typed=("model.layers=4",))
    row(folder, clip=1, seed=1)
    said = status.text(status.cells(folder))
    assert "model.layers=2, clip=1:\nbatch  lr 0.001\n    8       .#." in said
    assert "model.layers=2, clip=inf:\nbatch  lr 0.001\n    8       ..." in said
    assert "model.layers=4, clip=1:\nbatch  lr 0.001\n    8         ." in said


def test_missing_cells_are_counted_and_not_listed(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "study"
    plan(folder, *(name(seed=seed) for seed in range(12)))
    _, out, _ = look(monkeypatch, capsys, folder)
    assert "12 cells, 12 missing" in out
    assert "12 of 12 cells not done: python -m scaling.train -m" in out
    assert DIGEST not in out


def test_a_cell_folder_that_was_deleted_is_missing(study):
    shutil.rmtree(study / name(lr=0.001))
    assert states(study)[name(lr=0.001)] == "missing"


def test_several_studies_are_shown_separately(tmp_path):
    row(tmp_path / "a")
    row(tmp_path / "b", state="failed")
    said = status.text(status.cells(tmp_path))
    assert re.search(r"a: 1 cell, 1 done", said)
    assert re.search(r"b: 1 cell, 1 failed", said)


def test_json_is_strict_and_whole(study, monkeypatch, capsys):
    row(study, clip="inf")
    code, out, _ = look(monkeypatch, capsys, study, "--json")
    assert code == 0
    told = json.loads(out, parse_constant=lambda _: pytest.fail("not strict JSON"))
    assert sum(told["counts"].values()) == len(told["cells"]) == 8
    (cell,) = [cell for cell in told["cells"] if cell["state"] == "stale"]
    assert (cell["step"], cell["steps"], cell["lr"]) == (5, 10, 0.04)
    assert {cell["clip"] for cell in told["cells"]} == {1, "inf"}


def test_watching_ends_when_everything_is_done(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "study"
    plan(folder, name())
    naps = []

    def nap(seconds):
        naps.append(seconds)
        row(folder)

    monkeypatch.setattr(time, "sleep", nap)
    code, out, _ = look(monkeypatch, capsys, "--watch", folder, "--every", "2")
    assert code == 0
    assert naps == [2.0]
    assert "1 missing" in out
    assert "1 done" in out


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "does not exist"),
        ("empty", "is not a sweep: it has no runs and no plans"),
        ("text", "is not a sweep"),
    ],
)
def test_a_folder_that_is_not_a_sweep_is_one_message(tmp_path, monkeypatch, capsys, made, message):
    folder = tmp_path / "folder"
    if made:
        (folder / "inner").mkdir(parents=True)
    if made == "text":
        (folder / "inner" / "notes.txt").write_text("hello")
    code, out, err = look(monkeypatch, capsys, folder)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_edited_row_another_schema_and_a_damaged_plan_are_named(study, monkeypatch, capsys):
    file = study / name(lr=0.001) / ROW_FILE
    file.write_text(file.read_text().replace("2.0", "1.0"))
    other = study / name(lr=0.1) / ROW_FILE
    other.write_text(other.read_text().replace('"schema": 2', '"schema": 7'))
    (study / plans.FOLDER / "bad.json").write_text("[]")
    (study / plans.FOLDER / "torn.json").write_text('{"command": "python \'a", "cells": []}')
    before = {path: path.read_bytes() for path in study.rglob("*.json")}
    code, out, err = look(monkeypatch, capsys, study)
    assert code == 0
    assert "its checksum differs" in out
    assert "has schema 7, but this version reads 1" in out
    assert "bad.json cannot be read" in err
    assert "torn.json cannot be read (No closing quotation)" in err
    assert {path: path.read_bytes() for path in study.rglob("*.json")} == before


def test_an_invalid_time_is_refused(study, monkeypatch, capsys):
    assert look(monkeypatch, capsys, study, "--watch", "--every", "0")[0] == 2
    assert look(monkeypatch, capsys, study, "--watch", "--json")[0] == 2
    assert look(monkeypatch, capsys)[0] == 2


def test_status_is_light_at_import():
    code = (
        "import sys, scaling.status; print(*{'torch', 'lightning', 'hydra'} & sys.modules.keys())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_a_study_that_is_given_twice_is_shown_once(study, monkeypatch, capsys):
    _, out, _ = look(monkeypatch, capsys, study, study.parent, "--json")
    assert len(json.loads(out)["cells"]) == 7


def test_a_folder_of_a_run_is_not_a_study(study, monkeypatch, capsys):
    code, _, err = look(monkeypatch, capsys, study / name(lr=0.001))
    assert code == 2
    assert f"is one run; give its study, {study}" in err


def test_commands_are_shown_without_resume_and_not_for_corrupt_rows(study, monkeypatch, capsys):
    plan(study, name(lr=0.03), name(lr=0.05), name(lr=0.01), command="python -m t resume=all -m")
    _, out, _ = look(monkeypatch, capsys, study)
    assert "2 of 3 cells not done: python -m t -m" in out


def test_the_machine_of_a_run_makes_no_second_grid(folder):
    """Cells typed with and without trainer.accelerator are one grid, as they are one setting."""
    typed = (["trainer.accelerator=cpu", "model.depth=2"], ["model.depth=2"])
    cells = [
        {"run": f"batch={batch},lr=0.1,clip=1,seed=0-{'0' * 12}", "overrides": overrides}
        for batch, overrides in zip((8, 16), typed, strict=True)
    ]
    plans.write(folder, "python -m scaling.train", cells)
    shown = status.text(status.cells(folder))
    assert "trainer.accelerator" not in shown
    assert shown.count("batch  lr 0.1") == 1
