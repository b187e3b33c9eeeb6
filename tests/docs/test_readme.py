"""The README is short, its commands exist, and its output is real."""

import re
from pathlib import Path

import pytest
import yaml

import scaling
from scaling.config import schema
from scaling.config.folder import FOLDER
from scaling.reporting.answer import answer, settings_of
from scaling.reporting.answer_lines import lines
from scaling.reporting.next_step import Command, next_step

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
MAKE = (ROOT / "Makefile").read_text()
TARGETS = {*re.findall(r"^(\w+):", MAKE, re.MULTILINE), *re.findall(r":= (\.venv/\S+)", MAKE)}
MODULES = {"train", "report", "status", "dashboard"}
# A command up to its comment, with lines that end in a backslash joined.
COMMAND = re.compile(r"^[ $`]*(?:python -m|make) [^#`\n]+", re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    joined = page.read_text().replace("\\\n", " ")
    return [match.strip(" $`").split() for match in COMMAND.findall(joined)]


def options() -> set[str]:
    """The options of config groups, and those of files that the pages show."""
    files = {(file.parent.name, file.stem) for file in FOLDER.glob("*/*.yaml")}
    for page in PAGES:
        files |= set(re.findall(r"^`conf/(\w+)/(\w+)\.yaml`:", page.read_text(), re.MULTILINE))
    return {f"{group}={option}" for group, option in files}


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_readme_shows_every_command():
    assert {words[2].removeprefix("scaling.") for words in commands(ROOT / "README.md")
            if words[0] == "python"} == MODULES  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_name_modules_options_and_targets_that_exist(page):
    known = options()
    groups = {option.partition("=")[0] for option in known}
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in TARGETS, words
            continue
        assert words[2].removeprefix("scaling.") in MODULES, words
        if words[2] != "scaling.train":
            continue
        for key, _, values in (word.partition("=") for word in words[3:] if "=" in word):
            if key in groups and values not in ("NAME", "null"):
                assert {f"{key}={value}" for value in values.split(",")} <= known, words
            elif "." not in key and not key.startswith("-") and "/" not in key:
                assert key in groups | set(schema.Run.__annotations__), words


def test_the_demo_prints_what_the_readme_shows():
    sweep = scaling.SweepTables.of(ROOT / "notebooks" / "data" / "quickstart.csv")
    settings = settings_of(sweep)
    command = Command("python -m scaling.train experiment=quickstart")
    step = next_step(sweep.rows, settings, (), command)
    printed = lines(answer(settings, (), (), (), step))
    assert README.split("```\n")[1].splitlines() == printed


def test_the_keys_of_the_readme_have_the_defaults_of_the_config():
    defaults = yaml.safe_load((FOLDER / "config.yaml").read_text())
    rows = re.findall(r"^\| `(\w+)` \| .* \| `?([\w.-]+)`? \|$", README, re.MULTILINE)
    assert [key for key, _ in rows] == ["study", "batch", "lr", "clip", "seed"]
    for key, default in rows:
        value = defaults[key]
        assert value == default or float(value) == float(default)
    assert f"| {defaults['default_steps']} steps |" in README
