"""Hydra's own launchers train the cells, too."""

from pathlib import Path

import pytest
from forked import NUMBER
from processes import HANG, start, wait_for

from scaling import results

SMALL = ("steps=6", "model.d_model=16", "model.layers=2", "model.heads=2", "data.context=16")


def test_the_basic_launcher_gives_the_rows_that_the_pool_gives(command):
    assert command("-m", "seed=0,1", "workers=0", "study=own").code == 0
    ended = command("-m", "seed=0,1", "workers=null", "hydra/launcher=basic", "study=hydra")
    assert ended.code == 0, ended.err
    own, hydra = (results.read(f"multirun/{study}").set_index("run") for study in ("own", "hydra"))
    assert own["val_loss"].to_dict() == hydra["val_loss"].to_dict()
    assert "2 cells: 0 done before, 2 to train" in ended.out


def test_a_cell_that_fails_there_is_named_and_the_next_one_runs(command, monkeypatch):
    from scaling.runs import run

    fit = run._fit

    def breaking(cell, *rest):
        if cell.config["seed"] == 0:
            raise RuntimeError("broken")
        return fit(cell, *rest)

    monkeypatch.setattr(run, "_fit", breaking)
    ended = command("-m", "seed=0,1", "workers=null", "hydra/launcher=basic")
    assert ended.code == 1
    rows = results.read("multirun/scratch").set_index("seed")
    assert rows["status"].to_dict() == {0: "failed", 1: "done"}
    assert "1 of 2 not done" in ended.err


def test_joblib_trains_every_cell(folder, monkeypatch):
    """One of its two processes starts as users have it."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.setenv(NUMBER, "1")
    process = start("-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    assert results.read("multirun")["status"].tolist() == ["done", "done"]


def test_a_number_of_workers_is_refused_with_hydras_launchers(command):
    ended = command("-m", "seed=0,1", "workers=2", "hydra/launcher=basic")
    assert ended.code == 2
    assert "workers=2 has no effect with BasicLauncher" in ended.err


def test_a_signal_ends_a_sweep_of_hydras_launcher_too(folder):
    process = start(
        "-m", "seed=0,1,2", "hydra/launcher=basic", "save_every=0", *SMALL, "steps=100000"
    )
    wait_for(lambda: list(Path("multirun").glob("*/*/checkpoint.ckpt")))
    process.terminate()
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 143, err
    assert results.read("multirun")["status"].tolist() == ["interrupted"]
    assert "stopped: 0 of 3 cells done, 1 kept as a checkpoint, 2 not started\n" in err
