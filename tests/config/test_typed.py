"""How overrides may be typed, and what is printed for those that Hydra cannot read."""

import pytest
from processes import HANG, start

from scaling.config import typed


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_flag_of_a_sweep_may_be_anywhere(flag, place):
    words = ["batch=8,16", "lr=1e-3"]
    assert typed.sweep_first([*words[:place], flag, *words[place:]]) == [flag, *words]


def test_a_sweep_with_its_flag_between_overrides(folder):
    words = ("model.d_model=16", "model.heads=2", "batch=8,16", "-m", "lr=1e-3", "dry_run=true")
    process = start(*words)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    assert "2 of 2 cells would be trained" in out


SEVERAL = {
    "batch=8,16": "add -m: python -m scaling.train -m batch=8,16\n",
    "seed=range(0,3)": "add -m: python -m scaling.train -m 'seed=range(0,3)'\n",
    "data.path=a,b": """(as one text it is 'data.path="a,b"', as one list 'data.path=[a,b]')\n""",
}


@pytest.mark.parametrize("word", SEVERAL)
def test_several_values_without_the_flag_give_the_command_with_it(command, word):
    ended = command(word, small=False)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {word} has several values")
    assert ended.err.endswith(SEVERAL[word])
    assert ended.err.count("\n") == 1
