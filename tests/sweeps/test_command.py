"""Commands as typed: what they train, what they print, and how they end.

`make survive` sets SCALING_KILLS=10, for each signal with each number of workers.
"""

import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from processes import HANG, start, typed, wait_for

from scaling import results
from scaling.storage import locks, plans
from scaling.storage.rows import ROW_FILE, read_row

pytest_plugins = ("trained",)

STUDY = Path("multirun", "scratch")
EVERY_SIGNAL = int(os.environ.get("SCALING_KILLS", "1")) >= 10
SWEEP = ("-m", "batch=8,16", "lr=1e-3,1e-2")
RATES = ("-m", "lr=1e-3,1e-2")
SEEDS = ("-m", "seed=0,1")


def rows(study: Path = STUDY) -> pd.DataFrame:
    return results.read(study)


def mtimes() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in STUDY.rglob(ROW_FILE)}


def table_of(out: str) -> str:
    return out[out.index("Validation loss") :]


def test_a_single_run_leaves_a_row_its_tables_and_its_config(command):
    ended = command("lr=3e-3")
    assert ended.code == 0
    (row,) = rows().itertuples()
    assert (row.status, row.lr, row.steps, row.examples) == ("done", 0.003, 6, 192)
    assert (row.model, row.data, row.optimizer, row.protocol) == (
        *("nano_transformer", "pydoc", "adamw", "steps"),
    )
    assert 0 < row.bigram_loss < row.unigram_loss < row.uniform_loss == math.log(128)
    assert row.val_loss > 0
    assert row.val_loss_se > 0
    assert len(results.steps(STUDY)) == 6
    assert results.epochs(STUDY)["step"].tolist() == [6]
    folder = STUDY / row.run
    assert (folder / ".hydra" / "config.yaml").exists()
    assert "- lr=3e-3" in (folder / ".hydra" / "overrides.yaml").read_text()
    assert list(folder.glob("events.out.tfevents.*"))
    assert "val_loss" in ended.out


def test_a_sweep_prints_one_line_a_cell_and_one_table(trained):
    ended = trained(*SWEEP).ended
    assert "4 cells: 0 done before, 4 to train" in ended.out
    assert re.search(r"\[1/4\] batch=8,lr=0.001,clip=1,seed=0  done  val_loss .* left", ended.out)
    assert re.search(r"batch +lr 0.001 +lr 0.01\n +8 ", ended.out)
    assert len(rows()) == 4
    (plan,) = plans.read(STUDY)
    assert sorted(cell["run"] for cell in plan["cells"]) == sorted(rows()["run"])
    assert plan["command"].startswith("python -m scaling.train")


def test_a_finished_sweep_trains_nothing_and_prints_the_same_table(command, trained):
    first = trained(*SWEEP).ended
    before = mtimes()
    again = command("-m", "lr=0.010,0.001", "batch=16,8")
    assert mtimes() == before
    assert "4 cells: 4 done before, 0 to train" in again.out
    assert table_of(again.out) == table_of(first.out)


def test_a_widened_sweep_trains_only_what_is_new(command, trained):
    trained(*RATES)
    before = mtimes()
    assert "3 cells: 2 done before, 1 to train" in command("-m", "lr=1e-3,3e-3,1e-2").out
    assert {path: time for path, time in mtimes().items() if path in before} == before
    assert len(rows()) == 3


def test_null_clip_finds_the_row_of_infinite_clip(command):
    command("clip=inf")
    before = mtimes()
    command("clip=null")
    assert mtimes() == before
    assert rows()["clip"].tolist() == [math.inf]


def test_a_changed_default_retrains(command, trained):
    trained()
    command("optimizer.eps=1e-6")
    assert len(rows()) == 2


def test_runs_that_differ_only_in_clipping_start_from_the_same_batches(command):
    command("-m", "clip=1e-3,inf", "optimizer=sgd", "lr=1e-9")
    steps = results.steps(STUDY)
    first, second = (
        part["train_loss"].to_numpy() for _, part in steps.groupby("run", observed=True)
    )
    assert first == pytest.approx(second, rel=1e-6)


def test_no_post_clip_norm_exceeds_the_ceiling(command):
    command("-m", "clip=0.1,1.0,inf", "optimizer=sgd,adamw", "lr=0.1")
    steps = results.steps(STUDY).merge(rows()[["run", "clip"]], on="run")
    assert len(steps) == 36
    assert (steps["grad_norm_post_clip"] <= steps["clip"] * (1 + 1e-5)).all()
    assert (steps["grad_norm_pre_clip"] > 0.1).all()


@pytest.mark.parametrize(
    ("duration", "steps", "examples"),
    [("examples=100", 3, 96), ("epochs=1", None, None), ("steps=4", 4, 128)],
)
def test_each_protocol_takes_its_steps(command, duration, steps, examples):
    Path("text.txt").write_text("To be, or not to be, that is the question. " * 100)  # 4,300
    key = duration.partition("=")[0]
    other = () if key == "steps" else ("steps=null",)
    ended = command(duration, *other, "data=text", "data.path=text.txt", "data.val_share=0.2")
    assert ended.code == 0, ended.err
    (row,) = rows().itertuples()
    assert row.protocol == key
    assert row.steps == (steps or 214 // 32)  # 3,440 characters, windows of 16
    assert row.examples == (examples or 6 * 32)
    rounded = "examples  100 become 3 steps, with 96 in all\n"
    assert ended.out.count("examples  ") == ended.out.count(rounded) == (key == "examples")


def test_a_run_that_diverges_is_a_row_and_not_an_error(command):
    ended = command("-m", "lr=1e-3,1e30", "optimizer=sgd", "clip=inf", "steps=8")
    assert ended.code == 0
    assert rows().set_index("lr")["status"].to_dict() == {1e-3: "done", 1e30: "diverged"}
    assert "diverged" in table_of(ended.out)
    before = mtimes()
    command("-m", "lr=1e-3,1e30", "optimizer=sgd", "clip=inf", "steps=8")
    assert mtimes() == before


@pytest.fixture
def breaking(monkeypatch):
    """Training with seed 1 breaks after the first step, for as long as this list is not empty."""
    from scaling.models.learner import Learner

    step, reasons = Learner.training_step, ["it broke"]

    def broken(self, batch, batch_idx):
        if reasons and self.seed == 1 and batch_idx == 1:
            raise RuntimeError(*reasons)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", broken)
    return reasons


def test_a_cell_that_raises_becomes_a_failed_row_and_the_next_one_runs(command, breaking):
    ended = command("-m", "seed=0,1,2")
    assert ended.code == 1
    table = rows().set_index("seed")
    assert table["status"].to_dict() == {0: "done", 1: "failed", 2: "done"}
    assert table.loc[1, "error"] == "RuntimeError: it broke"
    assert table.loc[1, "steps"] == 1
    traceback = STUDY / table.loc[1, "run"] / "traceback.txt"
    assert "it broke" in traceback.read_text()
    assert "Traceback" not in ended.out + ended.err
    assert table.loc[1, "run"] in ended.err
    assert "to try again: python -m scaling.train" in ended.err
    assert len(results.steps(STUDY / table.loc[1, "run"])) == 1  # steps before the error

    breaking.clear()
    again = command("-m", "seed=0,1,2")
    assert again.code == 0
    assert "3 cells: 2 done before, 1 to train" in again.out
    assert set(rows()["status"]) == {"done"}
    assert not traceback.exists()


def test_system_exit_inside_a_cell_is_a_failure_too(command, monkeypatch):
    from scaling.models.learner import Learner

    monkeypatch.setattr(Learner, "training_step", lambda *_: sys.exit(3))
    assert command("-m", "seed=0,1").code == 1
    assert rows()["error"].tolist() == ["SystemExit: 3"] * 2


def test_a_callback_that_is_null_is_off(command):
    assert command("callbacks.gradient_norms=null").code == 0
    assert rows()["grad_norm_pre_clip"].isna().all()


def test_mixed_precision_trains_without_fusion(command):
    assert command("trainer.precision=bf16-mixed", "optimizer.fused=false").code == 0
    assert (results.steps(STUDY)["grad_norm_post_clip"] <= 1 + 1e-5).all()


def test_runs_of_different_length_are_not_averaged(command):
    out = command("-m", "steps=2,5", "lr=1e-3,1e-2").out
    assert "duration=2:" in out
    assert "duration=5:" in out


def test_a_sweeper_of_hydra_itself_trains_every_cell(command):
    ended = command("-m", "hydra/sweeper=basic", "lr=1e-3,1e-2")
    assert ended.code == 2
    assert "add hydra/launcher=basic for other sweepers" in ended.err
    ended = command("-m", "hydra/sweeper=basic", "hydra/launcher=basic", "lr=1e-3,1e-2")
    assert ended.code == 0
    assert rows()["status"].tolist() == ["done", "done"]


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(command, trained):
    trained(*RATES)
    before = mtimes()
    ended = command("-m", "lr=1e-3,1e-2,1e-1", "dry_run=true")
    assert ended.code == 0
    assert mtimes() == before
    assert ended.out.count("keep ") == 2
    assert re.search(r"train  batch=32,lr=0.1,.*\(missing\)", ended.out)
    assert "1 of 3 cells would be trained" in ended.out
    assert "at the mean speed of 2 rows" in ended.out


def test_resume_chooses_which_cells_are_trained_again(command, breaking):
    ended = command(*SEEDS, "resume=all")
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if "to try again" in line]
    assert "resume" not in line  # nor need it be typed for these cells
    breaking.clear()
    assert "1 to train" in command("-m", "seed=0,1,2", "resume=failed").out
    assert rows()["seed"].tolist() == [0, 1]
    before = mtimes()
    assert "2 to train" in command("-m", "seed=0,1", "resume=all").out
    assert all(mtimes()[path] > before[path] for path in before)


def test_fail_fast_stops_at_the_first_failure(command, breaking):
    ended = command("-m", "seed=0,1,2,3", "fail_fast=true")
    assert ended.code == 1
    assert rows()["seed"].tolist() == [0, 1]
    assert "3 of 4 not done" in ended.err


@pytest.mark.parametrize("missing", [10, 11])
def test_more_than_ten_missing_cells_are_counted_and_not_listed(command, breaking, missing):
    ended = command("-m", f"seed=range(1,{missing + 2})", "fail_fast=true")  # the first one fails
    listed = [line for line in ended.err.splitlines() if line.endswith(": missing")]
    assert len(listed) == (missing if missing == 10 else 0)
    assert ("11 cells are missing\n" in ended.err) == (missing == 11)


def test_a_row_that_becomes_corrupt_during_a_sweep_does_not_end_it(command, monkeypatch):
    from scaling.runs import lifecycle

    train = lifecycle.run

    def spoil(cell, **settings):
        row = train(cell, **settings)
        if cell.config["seed"] == 0:
            for other in STUDY.parent.glob("scratch/*seed=1*"):
                (other / ROW_FILE).write_text("rubbish")
        return row

    command("seed=1", "steps=3")  # a folder with another digest has no part in it
    monkeypatch.setattr(lifecycle, "run", spoil)
    (target,) = [cell["run"] for cell in _planned(command) if "seed=1" in cell["run"]]
    (STUDY / target).mkdir()
    ended = command("-m", "seed=0,1,2")
    assert ended.code == 1
    assert "corrupt" in ended.err
    assert len(list(STUDY.glob("*seed=2*/row.json"))) == 1


def _planned(command) -> list[dict]:
    """The cells of `seed=0,1,2`, from a command that fails before its first cell."""
    from scaling.sweeps.executors.pool import InProcess

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InProcess, "train", lambda *_, **__: (pair for pair in ()))
        command("-m", "seed=0,1,2")
    return plans.read(STUDY)[-1]["cells"]


def test_a_corrupt_row_is_reported_and_kept_and_its_cell_is_not_trained(command, trained):
    trained(*SEEDS)
    file = STUDY / rows()["run"][0] / ROW_FILE
    file.write_text(file.read_text()[:100])
    before = mtimes()
    ended = command("-m", "seed=0,1,2")
    assert ended.code == 1
    assert "corrupt" in ended.err
    assert "to try again" not in ended.err
    assert f"{file} cannot be read" in ended.err
    assert "delete it to train this run again" in ended.err
    assert before.items() <= mtimes().items()
    assert len(mtimes()) == 3  # the new cell was still trained


class LetGo(logging.Filter):
    """Closes a lock's file as soon as a sweep says that it waits.

    Not a handler, because Hydra removes those of a logger when it configures logging.
    """

    def __init__(self, file):
        super().__init__()
        self.file = file

    def filter(self, record):
        if "waiting for" in record.getMessage():
            self.file.close()
        return True


def test_a_sweep_waits_at_its_end_for_cells_that_others_hold(command, trained):
    trained(*SEEDS)
    folder = STUDY / rows()["run"][0]
    (folder / ROW_FILE).unlink()
    assert locks.keep(folder / locks.FILE)
    let_go = LetGo(locks._kept.pop())
    logging.getLogger("scaling.sweeps.live").addFilter(let_go)
    try:
        ended = command("-m", "seed=0,1")
    finally:
        logging.getLogger("scaling.sweeps.live").removeFilter(let_go)
    assert ended.code == 0
    assert "waiting for 1 cell that other processes hold (pid " in ended.out
    assert set(rows()["status"]) == {"done"}


def test_a_corrupt_checkpoint_is_set_aside_and_the_cell_starts_again(command, trained):
    trained()
    folder = STUDY / rows()["run"][0]
    (folder / ROW_FILE).unlink()
    (folder / "checkpoint.ckpt").write_text("torn")
    ended = command()
    assert ended.code == 0
    assert "checkpoint.ckpt cannot be read" in ended.out + ended.err
    assert rows()["status"].tolist() == ["done"]
    assert (STUDY / f"{folder.name}.corrupt.ckpt").read_text() == "torn"


def test_a_row_says_how_it_was_made(trained):
    import torch

    trained()
    row = read_row(STUDY / rows()["run"][0])
    made = row.provenance
    assert made["torch"] == torch.__version__
    assert made["start"] <= made["end"]
    assert {"scaling", "python", "lightning", "host", "device", "threads", "data"} <= made.keys()


def test_a_cell_held_by_another_process_is_skipped(command, trained):
    trained()
    folder = STUDY / rows()["run"][0]
    (folder / ROW_FILE).unlink()
    with locks.hold(folder):
        ended = command()
    assert ended.code == 1
    assert "held by another process: pid " in ended.err
    assert not (folder / ROW_FILE).exists()
    assert command().code == 0


def test_typed_values_are_all_kept_at_a_smaller_scale_and_a_dry_run_has_a_line_for_each(command):
    batches, few = ("-m", "batch=8,16,32"), ("scale=tiny", "steps=2", "data.val_windows=8")
    assert command(*batches, "lr=1e-3", *few, small=False).code == 0
    ended = command(*batches, "lr=1e-3,3e-3,1e-2", *few, "dry_run=true", small=False)
    assert ended.code == 0
    lines = [line.split() for line in ended.out.splitlines()]
    assert [line[0] for line in lines if "batch=" in line[1]].count("keep") == 3
    assert [line[0] for line in lines if "batch=" in line[1]].count("train") == 6
    assert "6 of 9 cells would be trained" in ended.out


def test_a_dry_run_has_one_line_also_for_a_row_that_is_damaged(command, trained):
    trained()
    (file,) = STUDY.glob(f"*/{ROW_FILE}")
    file.write_text("torn\nin\ntwo")
    lines = command("dry_run=true").out.splitlines()
    assert lines[0].startswith("keep   batch=32")
    assert lines[1] == "0 of 1 cell would be trained, 1 at a time"


BAD = {
    "folder of a sweep": (
        ["-m", "lr=1,2", "hydra.sweep.dir=x"],
        "hydra.sweep.dir=x has no effect",
    ),
    "folder of a run": (
        ["hydra.run.dir=x"],
        "start the command in another directory, or set study=",
    ),
    "folder of each run": (["-m", "lr=1,2", "hydra.run.dir=x"], "hydra.run.dir=x has no effect"),
    "folders of cells": (["-m", "lr=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir=x has no"),
    "Hydra's own folder": (["hydra.output_subdir=x"], "hydra.output_subdir=x has no effect"),
    "another folder while it runs": (
        ["hydra.job.chdir=true"],
        "hydra.job.chdir=True has no effect",
    ),
    "variables": (["+hydra.job.env_set.A=1"], "set variables in the shell, before the command"),
    "half precision alone": (
        ["trainer.precision=16-true"],
        "must be 16-mixed, bf16-mixed, bf16-tr",
    ),
    "two nodes": (["+trainer.num_nodes=2"], "trainer.num_nodes=2 must be 1"),
    "tables elsewhere": (["logger.name=x"], "leave out name, version and sub_dir of the logger"),
    "statistics of one": (
        ["model=tcn", "data=flows", "model.normalisation=batch", "batch=1"],
        "batch=1, so that batch normalisation has the statistics of a single example",
    ),
    "statistics of one part": (
        [
            "model=tcn",
            "data=flows",
            "model.normalisation=batch",
            "batch=4",
            "trainer.accumulate_grad_batches=4",
        ],
        "batch=4 comes in 4 parts, so that batch normalisation has the statistics of a single",
    ),
    "unknown key": (["lrr=1"], "lrr is an unknown key; did you mean lr?"),
    "added unknown key": (["+foo=1"], "foo is an unknown key; known here: study, batch"),
    "unknown key of a group": (
        ["model.d_modl=3"],
        "model.d_modl is an unknown key; did you mean d_model?",
    ),
    "added unknown key of a group": (["+model.foo=3"], "model.foo=3 is not a parameter of"),
    "added known key with a typo": (["+trainer.profilr=simple"], "did you mean profiler?"),
    "key that the run fills in": (["+trainer.max_steps=3"], "trainer.max_steps=3 must be left out"),
    "removed key": (["~model.heads"], "model.heads is missing"),
    "wrong type": (["batch=many"], "batch=many must be of type int"),
    "fraction for a whole number": (["batch=1.5"], "batch=1.5 must be of type int"),
    "wrong type in a sweep": (["-m", "lr=1e-3,fast"], "lr=fast must be of type float"),
    "wrong type in a group": (["model.d_model=wide"], "model.d_model=wide must be of type int"),
    "no batch": (["batch=0"], "batch=0 must be at least 1"),
    "negative lr": (["lr=-1"], "lr=-1.0 must be positive"),
    "negative lr in a sweep": (["-m", "lr=1e-3,-1"], "lr=-1.0 must be positive"),
    "no clip": (["clip=0"], "clip=0.0 must be positive; clip=inf turns clipping off"),
    "two durations": (["epochs=1"], "steps=6 and epochs=1 are two durations"),
    "large batch": (["batch=1000000"], "batch=1000000 exceeds the"),
    "large batch in a sweep": (["-m", "batch=8,1000000"], "batch=1000000 exceeds the"),
    "no path": (["data=text"], "data.path is missing"),
    "missing file": (
        ["data=text", "data.path=nowhere.txt"],
        "data.path=nowhere.txt does not exist",
    ),
    "empty file": (["data=text", "data.path=empty.txt"], "empty.txt is empty"),
    "short text": (["data=text", "data.path=short.txt"], "too few for data.context=16"),
    "binary rubbish": (["data=text", "data.path=rubbish.txt"], "rubbish.txt is not UTF-8 text"),
    "path without its data": (["data.path=empty.txt"], "data.path=empty.txt is for data=text"),
    "no duration key": (["~steps"], "steps is missing; a run needs it"),
    "not a target": (["trainer._target_=5"], "trainer._target_=5 must be the dotted name"),
    "fast_dev_run": (["+trainer.fast_dev_run=true"], "trainer.fast_dev_run=True must be left out"),
    "empty grid": (["-m", "seed=range(3,3)"], "the grid is empty"),
    "fused and mixed": (["trainer.precision=bf16-mixed"], "needs optimizer.fused=false"),
    "unknown option": (["model=resnet"], "model=resnet must be one of "),
    "bad study": (["study=a/b"], "study=a/b must be a folder name"),
    "heads that do not divide": (["model.heads=3"], "model.heads=3 must divide model.d_model=16"),
    "value refused by torch": (["optimizer.weight_decay=-1.0"], "weight_decay"),
    "value refused by lightning": (["trainer.accelerator=abacus"], "accelerator"),
    "several devices": (["trainer.devices=2"], "trainer.devices=2 must be 1"),
    "lr of its own": (["optimizer.lr=1.0"], "optimizer.lr=1.0 must be lr=0.001; set lr instead"),
    "sweep without -m": (["lr=1e-3,1e-2"], "add -m: python -m scaling.train -m "),
    "override that does not parse": (["lr=[1"], "lr=[1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_exit_2_and_nothing_written(command, folder, case):
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("too short")
    (folder / "rubbish.txt").write_bytes(bytes(range(128, 256)) * 99)
    arguments, said = BAD[case]
    before = sorted(folder.rglob("*"))
    ended = command(*arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_refused_before_training(command, folder):
    (folder / "multirun").write_text("a file where the folder should be")
    ended = command()
    assert ended.code == 2
    assert "cannot write below" in ended.err


def test_a_traceback_is_shown_on_request(folder):
    ended = run_process("-m", "seed=range(3,3)", HYDRA_FULL_ERROR="1")  # before imports of torch
    assert "Traceback" in ended.stderr
    assert "the grid is empty" in ended.stderr


def run_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "scaling.train", *arguments],
        capture_output=True, text=True, env=os.environ | environment, check=False,
    )  # fmt: skip


def test_help_says_what_the_command_does_and_its_exit_codes(folder):
    ended = run_process("--help")
    assert ended.returncode == 0
    for said in ("examples per optimizer step", "Exit codes", "phase_2, phase_2_5"):
        assert said in ended.stdout
    assert not list(folder.iterdir())


SIGNALS = [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)]
if EVERY_SIGNAL:
    SIGNALS += [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]


@pytest.mark.parametrize(("number", "code", "workers"), SIGNALS)
def test_a_signal_leaves_interrupted_rows_and_its_exit_code(folder, number, code, workers):
    launch = typed if number == signal.SIGINT else start
    process = launch(
        "-m", "seed=0,1,2", "steps=100000", "save_every=0", "data.context=16", "data.val_windows=8",
        "model.d_model=16", "model.layers=1", "model.heads=2", f"workers={workers}",
    )  # fmt: skip
    wait_for(lambda: len(list(STUDY.glob("*/checkpoint.ckpt"))) == workers)
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == code, err
    assert rows()["status"].tolist() == ["interrupted"] * workers
    kept = "1 kept as a checkpoint" if workers == 1 else "2 kept as checkpoints"
    stopped, again = err.splitlines()
    assert stopped == f"stopped: 0 of 3 cells done, {kept}, {3 - workers} not started"
    assert again.startswith("to continue: python -m scaling.train -m seed=0,1,2 ")
    steps = results.steps(STUDY)
    taken = rows()["steps"].sum()  # a signal between a step and its statistics costs their row
    assert 0 <= taken - len(steps) <= workers
    assert len(steps) > 0
    assert len(list(STUDY.glob("*/checkpoint.ckpt"))) == workers


def test_plans_are_strict_json(trained):
    trained(*SEEDS)
    (path,) = (STUDY / plans.FOLDER).iterdir()
    assert set(json.loads(path.read_text())) == {"schema", "time", "command", "owner", "cells"}


def test_cells_are_distinguished_by_whatever_is_swept(command):
    ended = command("-m", "optimizer=adamw,sgd", "model.layers=1,2")
    for optimizer in ("adamw", "sgd"):
        for layers in (1, 2):
            said = f"seed=0,model.layers={layers},optimizer={optimizer}  done"
            assert ended.out.count(said) == 1
    dry = command("-m", "optimizer=adamw,sgd", "model.layers=1,2", "dry_run=true")
    assert dry.out.count("model.layers=1,optimizer=sgd-") == 1


@pytest.mark.parametrize("switch", ["resume=missing,all", "fail_fast=true,false"])
def test_a_switch_cannot_be_swept(command, switch):
    ended = command("-m", switch)
    assert ended.code == 2
    assert "cannot be swept" in ended.err


def test_an_experiment_with_a_grid_is_not_a_single_run(command, monkeypatch):
    ended = command("experiment=quickstart", "hydra.mode=RUN", small=False)
    assert ended.code == 2
    assert "hydra.sweeper.params is a grid, but this is a single run" in ended.err


def test_a_reader_may_leave_early(folder):
    process = start(
        "-m", "seed=0,1", "steps=2", "workers=0", "data.context=16", "data.val_windows=8",
        "model.d_model=16",
    )  # fmt: skip
    assert process.stdout.readline()
    process.stdout.close()  # as `head -n 1` does
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=HANG) == 0, err
    assert "Traceback" not in err
    assert rows()["status"].tolist() == ["done", "done"]
