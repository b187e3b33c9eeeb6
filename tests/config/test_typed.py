"""How overrides may be typed, and what is printed for those that Hydra cannot read."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from processes import HANG, start

from scaling.config import typed
from scaling.datamodules.files import data_folder


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


NAMES = (
    *("a=b.txt", "a,b.txt", "a b.txt", "a(b).txt", "a[1].txt", "a{1}.txt", "it's.txt", 'a"b.txt'),
    *("a'b\"c.txt", "\u00e9;#&!.txt", "a\\b.txt", "~a.txt"),
)


@pytest.mark.parametrize("flags", [(), ("-m",)])
def test_the_path_of_a_file_may_have_any_characters(command, folder, flags):
    for name in NAMES:
        (folder / name).write_text("To be, or not to be, that is the question. " * 100)
        ended = command(*flags, "data=text", f"data.path={folder / name}", "dry_run=true")
        assert ended.code == 0, (name, ended.err)
        assert "1 of 1 cell would be trained" in ended.out


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("a b.txt", "a,b.txt")])
def test_the_path_of_no_file_gives_what_to_type(command, name):
    ended = command("data=text", f"data.path={name}", small=False)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert not any(word in ended.err for word in ("mismatched", "LexerNoViableAlt", "hydra.cc"))
    if "cannot be read" in ended.err or "is not a function" in ended.err:  # else it was read
        (word,) = shlex.split(ended.err.rpartition(": ")[2])
        (override,) = OverridesParser.create().parse_overrides([word])
        assert override.value() == name
    else:
        assert f"data.path={name} does not exist" in ended.err


UNREAD = {
    "data.path=a=b": """a value with such characters is quoted: 'data.path="a=b"'""",
    "lr=range(1,3": """cannot be read; close its brackets, or quote it: 'lr="range(1,3"'""",
    "data.path=a(1)": """as text it is quoted: 'data.path="a(1)"'""",
    "lr=linspace(1,2,3)": "linspace is not a function; values of a grid are 1,2,3, range(1,4), ",
    "batch": "batch is not KEY=VALUE, such as batch=32",
    "batch:8": "batch:8 is not KEY=VALUE",
    "=3": "=3 is not KEY=VALUE",
}


@pytest.mark.parametrize("word", UNREAD)
def test_a_word_that_cannot_be_read_gives_what_to_type(command, word):
    ended = command(word, small=False)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert UNREAD[word] in ended.err
    assert ended.err.count("\n") == 1


def test_the_home_folder_is_expanded(command, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for name in ("x.txt", "y.txt"):
        (folder / name).write_text(f"To be, or not to be in {name}, that is the question. " * 100)
    paths = ("data.path=~/x.txt", 'data.path="~/x.txt"')
    for path in paths:
        assert command("data=text", path, "dry_run=true").code == 0
    several = command("-m", "data=text", "data.path=~/x.txt,~/y.txt", "dry_run=true")
    assert "2 of 2 cells would be trained" in several.out
    assert typed.spelled(["data.path=~/x,~/y"]) == [f"data.path={folder}/x,{folder}/y"]
    Path(folder, "data").mkdir()
    assert data_folder("~/data", "mnist") == Path(folder, "data")
