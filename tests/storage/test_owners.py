"""A sweep command is alive as long as its process locks its plan."""

import json
import os
import time

import pytest

from scaling.storage import heartbeats, locks, plans
from scaling.storage.rows import ROW_FILE

RUNS = ("batch=8", "batch=16", "batch=32")


@pytest.fixture
def plan(tmp_path):
    """The file of a plan of three runs; the last was done before."""
    cells = [
        {"run": run, "digest": "", "overrides": [], "train": train}
        for run, train in zip(RUNS, (True, True, False), strict=True)
    ]
    return plans.write(tmp_path, "python -m scaling.train -m", cells)


def read(plan):
    (only,) = plans.read(plan.parents[1])
    return only


def test_a_plan_has_an_owner_while_it_is_locked(plan):
    assert read(plan)["owner"] is None
    with locks.locked(plan):
        owner = read(plan)["owner"]
    assert (owner.pid, owner.heard) == (os.getpid(), None)
    assert owner.since == pytest.approx(time.time(), abs=60)
    assert f"pid {os.getpid()} on {owner.host} since" in str(owner)
    assert read(plan)["owner"] is None


def test_a_live_sweep_waits_to_train_what_has_no_row_since_its_start(plan):
    with locks.locked(plan):
        assert read(plan)["waiting"] == {"batch=8", "batch=16"}
        ended = plan.parents[1] / "batch=8" / ROW_FILE
        ended.parent.mkdir()
        ended.touch()
        assert read(plan)["waiting"] == {"batch=16"}
        os.utime(ended, (0, 0))  # of an earlier attempt, which is repeated
        assert read(plan)["waiting"] == {"batch=8", "batch=16"}


def test_a_sweep_of_another_host_is_alive_if_it_gave_a_sign_lately(plan, monkeypatch):
    written = json.loads(plan.read_text())
    written["owner"] |= {"host": "elsewhere", "since": 0.0}
    plan.write_text(json.dumps(written))
    assert read(plan)["owner"] is None
    run = plan.parents[1] / "batch=16"
    run.mkdir()
    heartbeats.write(run, step=1)
    owner = read(plan)["owner"]
    assert owner.host == "elsewhere"
    assert owner.heard == pytest.approx(0, abs=60)
    assert "on elsewhere since 1970-01-01" in str(owner)
    assert ", last heard of 0 s ago" in str(owner).replace("1 s", "0 s")
    monkeypatch.setattr(heartbeats, "SILENT", -1)
    assert read(plan)["owner"] is None


def test_a_read_only_folder_and_a_plan_of_an_earlier_version_can_be_read(plan):
    os.chmod(plan, 0o444)
    os.chmod(plan.parent, 0o555)
    try:
        with plan.open() as file:  # as another process would hold it
            locks.fcntl.flock(file, locks.fcntl.LOCK_EX)
            assert read(plan)["owner"].pid == os.getpid()
    finally:
        os.chmod(plan.parent, 0o755)
        os.chmod(plan, 0o644)
    written = json.loads(plan.read_text())
    del written["owner"]
    plan.write_text(json.dumps(written))
    assert read(plan)["owner"] is None
