"""Notebooks run, define no functions and store no output."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def code(name: str) -> list:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert len(NAMES) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_defines_nothing_and_stores_no_output(name):
    for cell in code(name):
        assert cell.outputs == []
        assert cell.execution_count is None
        lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
        tree = ast.walk(ast.parse("\n".join(lines)))
        assert not [node for node in tree if isinstance(node, ast.FunctionDef | ast.ClassDef)]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_on_the_kept_rows(name, tmp_path):
    run = (
        "import sys, nbformat; from nbclient import NotebookClient; "
        "book = nbformat.read(sys.argv[1], as_version=4); "
        "NotebookClient(book, timeout=600).execute(); print(len(book.cells))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", run, f"{name}.ipynb"],
        cwd=FOLDER, capture_output=True, text=True, timeout=1200,
        env=os.environ | {"IPYTHONDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
