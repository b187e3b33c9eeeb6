"""Runs from which several tests start: trained once by a command, then copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Ended

from scaling.config.cell import Cell
from scaling.sweeps import sweep


class Trained(NamedTuple):
    """What a command trained in an empty folder, and how it ended."""

    ended: Ended
    cells: tuple[Cell, ...]
    copy: Path


@pytest.fixture
def asked(monkeypatch) -> list[Cell]:
    """The cells of this test's commands, in their order."""
    seen: list[Cell] = []
    train_cells = sweep.train_cells

    def watch(cells, **how):
        seen.extend(cells)
        return train_cells(cells, **how)

    monkeypatch.setattr(sweep, "train_cells", watch)
    return seen


@pytest.fixture(scope="session")
def kept() -> dict[tuple[str, ...], Trained]:
    """Arguments of commands -> what they trained."""
    return {}


@pytest.fixture
def trained(command, asked, folder, kept, tmp_path_factory) -> Callable[..., Trained]:
    """Run a command in the empty `folder`, or copy what another test's same command left in one."""

    def train(*arguments: str) -> Trained:
        assert not Path("multirun").exists()
        if arguments in kept:
            shutil.copytree(kept[arguments].copy, folder, dirs_exist_ok=True)
            return kept[arguments]
        ended = command(*arguments)
        assert ended.code == 0, ended.err
        copy = tmp_path_factory.mktemp("trained") / "copy"
        shutil.copytree(folder, copy)
        kept[arguments] = Trained(ended, tuple(asked), copy)
        return kept[arguments]

    return train
