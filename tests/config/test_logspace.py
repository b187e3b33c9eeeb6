"""A grid with equal ratios is typed as `logspace(first,last,number)`."""

import sys

import pytest
from expansions import expand

from scaling.config import logspace, typed

SPELLED = {
    "lr=logspace(1e-4,1e-2,5)": "lr=0.0001,0.000316228,0.001,0.00316228,0.01",
    "lr=logspace(1e-2, 1e-4, 3)": "lr=0.01,0.001,0.0001",
    "batch=logspace(8,128,5)": "batch=8,16,32,64,128",
    "lr=logspace(1e-6,1e-5,2),1.0": "lr=1e-06,1e-05,1.0",
    "seed=range(0,3)": "seed=range(0,3)",
    'data.path="logspace(1,2,3)"': 'data.path="logspace(1,2,3)"',
}


@pytest.mark.parametrize("word", SPELLED)
def test_the_values_of_a_word(word):
    assert logspace.spelled(word) == SPELLED[word]


def test_a_typed_grid_has_its_cells(command):
    ended = command("-m", "lr=logspace(1e-4,1e-2,5)", "dry_run=true")
    assert ended.code == 0, ended.err
    assert "5 of 5 cells would be trained" in ended.out
    for lr in ("0.0001", "0.000316228", "0.001", "0.00316228", "0.01"):
        assert f"lr={lr},clip=1,seed=0-" in ended.out


def test_an_experiment_may_have_one():
    params = {"lr": "logspace(1e-4,1e-2,3)"}
    assert [cell.config["lr"] for cell in expand(params=params)] == [1e-4, 1e-3, 1e-2]
    pairs = [{"lr": "logspace(1e-3,1e-2,2)", "batch": [8, 16]}]
    made = expand(pairs=pairs)
    assert [(cell.config["lr"], cell.config["batch"]) for cell in made] == [(1e-3, 8), (1e-2, 16)]


@pytest.mark.parametrize(
    "call", ["(-4,-2,5)", "(1e-4,1e-2)", "(1e-4,1e-2,1)", "(0,1,3)", "(a,b,c)", "(1,inf,3)", "()"]
)
def test_arguments_without_meaning_are_refused(command, call):
    ended = command("-m", f"lr=logspace{call}", small=False)
    assert ended.code == 2
    assert ended.err.startswith(f"error: lr=logspace{call}: logspace needs the first and the last")
    assert ended.err.count("\n") == 1


TYPE = "type python -m scaling.train -m 'lr=logspace(1e-4,1e-2,{})'\n"
OTHERS = {
    "logrange(1e-4,1e-2,7)": TYPE.format(7),
    "geomspace(1e-4,1e-2,3)": TYPE.format(3),
    "interval(1e-4,1e-2)": TYPE.format(5),
    "interval(-4,-2)": TYPE.format(5),
}


@pytest.mark.parametrize("call", OTHERS)
def test_similar_functions_give_the_command_to_type(command, call):
    ended = command("-m", f"lr={call}", small=False)
    assert ended.code == 2
    assert ended.err.endswith(OTHERS[call])
    assert ended.err.count("\n") == 1


def test_the_command_to_type_has_the_flag_of_a_sweep(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "batch=8", "lr=logrange(1e-4,1e-2,7)"])
    with pytest.raises(ValueError, match="-m scaling.train -m batch=8 'lr=logspace") as error:
        typed.spelled(sys.argv[1:])
    assert str(error.value).endswith("'lr=logspace(1e-4,1e-2,7)'")


def test_one_value_is_typed_for_a_single_run(command):
    ended = command("lr=logspace(1e-4,1e-2,5)", small=False)
    assert ended.code == 2
    assert "has several values, which only a sweep trains; add -m" in ended.err
