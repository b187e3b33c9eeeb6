"""The number of threads of a run follows from its config, and from where it was begun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scaling.runs import threads
from scaling.storage.rows import ROW_FILE, read_row

STUDY = Path("multirun", "scratch")


@pytest.mark.parametrize(
    ("given", "work", "number"), [(None, 9.0, 1), (None, 10.0, 4), (2, 9.0, 2), (8, 99.0, 8)]
)
def test_small_work_has_one_thread_and_a_given_number_is_used(given, work, number):
    assert threads.number(given, work=work, worth=10.0, most=4) == number


def test_the_number_of_threads_is_restored_afterwards():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads.on(before + 1):  # noqa: PT012
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def made_with() -> list[int]:
    rows = (read_row(path.parent) for path in sorted(STUDY.glob(f"*/{ROW_FILE}")))
    return [row.provenance["threads"] for row in rows]


def test_the_row_says_how_many_threads_a_run_had_and_its_digest_does_not(command):
    torch.set_num_threads(3)  # of this process, for a large run
    try:
        for typed, number in {"threads=2": 2, "threads_from=1": 3, "threads_from=1e12": 1}.items():
            assert command(typed, "steps=1", "resume=all").code == 0
            assert made_with() == [number]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_a_resumed_run_keeps_the_threads_that_it_was_begun_on(command, monkeypatch):
    from scaling.callbacks.checkpoint import Resumable

    save = Resumable._save

    def dying(self, trainer):
        save(self, trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Resumable, "_save", dying)
        assert command("threads=2", "steps=2", "save_every=0").code == 130
    ended = command("threads=1", "steps=2")
    assert ended.code == 0
    assert made_with() == [2]
    assert "threads=1 has no effect on a resumed run; this one continues on 2 threads" in ended.out


@pytest.mark.parametrize("typed", ["threads=0", "threads_from=-1"])
def test_an_invalid_number_is_refused(command, typed):
    ended = command(typed)
    assert ended.code == 2
    assert typed.partition("=")[0] in ended.err


def test_waiting_threads_sleep_before_torch_is_there_unless_the_user_says_otherwise():
    code = (
        "import json, os, sys\n"
        "from scaling import train\n"
        "early, policies = 'torch' in sys.modules, []\n"
        "sys.argv = ['train', '--help']\n"
        "for own in ({}, {'OMP_WAIT_POLICY': 'x'}):\n"
        "    os.environ.update(own)\n"
        "    try:\n        train.main()\n    except SystemExit:\n        pass\n"
        "    policies.append(os.environ['OMP_WAIT_POLICY'])\n"
        "print(json.dumps([early, policies]))"
    )
    clean = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout.splitlines()[-1]) == [False, ["PASSIVE", "x"]]
