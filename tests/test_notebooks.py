"""Notebooks run, define no functions, and store what they print and draw."""

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def code(name: str) -> list:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert len(NAMES) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_defines_nothing(name):
    for cell in code(name):
        lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
        tree = ast.walk(ast.parse("\n".join(lines)))
        assert not [node for node in tree if isinstance(node, ast.FunctionDef | ast.ClassDef)]


@pytest.fixture(scope="module")
def execute():
    """The program that executes notebooks."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kernel(execute, tmp_path_factory):
    """One kernel for all notebooks, since most of the time of some is its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with execute.kernel() as client:
            yield client


def test_a_notebook_finds_no_names_of_the_one_before(execute, kernel, tmp_path):
    for name, source in {"one": "x = 1", "other": "x"}.items():
        cells = [nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    assert execute.executed(tmp_path / "one.ipynb", kernel).cells[0].source == "x = 1"
    with pytest.raises(CellExecutionError, match="name 'x' is not defined"):
        execute.executed(tmp_path / "other.ipynb", kernel)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_prints_and_draws_what_it_stores(name, execute, kernel):
    fresh = [
        cell
        for cell in execute.executed(FOLDER / f"{name}.ipynb", kernel).cells
        if cell.cell_type == "code"
    ]
    stored = code(name)
    assert any(cell.outputs for cell in stored)
    for now, then in zip(fresh, stored, strict=True):
        assert kinds(now) == kinds(then), then.source
        for new, old in zip(texts(now), texts(then), strict=True):
            assert NUMBER.sub("#", new).split() == NUMBER.sub("#", old).split()
            numbers = [[float(x) for x in NUMBER.findall(text)] for text in (new, old)]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=0.002)


def kinds(cell) -> list[list[str]]:
    return [sorted(output.get("data", {"stream": ""})) for output in cell.outputs]


def texts(cell) -> list[str]:
    """What a cell prints; a figure's text is only the name of its class and its size."""
    return [
        output.get("text") or output.data.get("text/plain", "")
        for output in cell.outputs
        if "image/png" not in output.get("data", {})
    ]
