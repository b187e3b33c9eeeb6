"""`import scaling` is light, typed, and offers one name for each thing that a user needs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scaling

PROMISED = (
    *("read", "steps", "epochs", "layers", "layer_epochs", "windows", "rounds", "table"),
    *("learning_rate_law", "plain_fit", "optimum", "candidates", "effect_of", "replicates"),
    *("sensitivity", "steps_to_loss", "tradeoff", "clip_regimes", "fold_trend"),
    *("GradientNorms", "LayerGradients", "LayerEpochs", "Recording", "figures", "study"),
    *("tail_shape", "TailShape", "hill_drift"),
)
HEAVY = {"torch", "pandas", "numpy", "scipy", "matplotlib", "lightning", "hydra", "omegaconf"}


@pytest.mark.parametrize("name", PROMISED)
def test_every_public_name_exists_with_its_docs(name):
    assert name in scaling.__all__
    assert getattr(scaling, name).__doc__


def test_importing_it_imports_nothing_heavy():
    code = "import sys, scaling; dir(scaling); print(*{m.partition('.')[0] for m in sys.modules})"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not HEAVY & set(out.split())


def test_reading_rows_imports_no_torch():
    code = "import sys, scaling; scaling.read; scaling.optimum; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_a_type_checker_sees_the_names_that_exist():
    tree = ast.parse(Path(scaling.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        name.asname: statement.module
        for statement in checked.body if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    }  # fmt: skip
    assert seen == scaling._HOME | {"figures": "scaling"}


def test_a_missing_name_lists_the_existing_ones():
    with pytest.raises(AttributeError, match=r"scaling has no optima; it offers .*optimum"):
        scaling.optima  # noqa: B018


def test_every_name_is_in_the_docstring():
    for name in scaling.__all__:
        assert f"`{name}`" in scaling.__doc__


def test_a_study_by_its_name():
    assert {"laws", "clipping", "adaptation", "gradient_flow"} <= {
        name for name in ("laws", "clipping", "adaptation", "gradient_flow") if scaling.study(name)
    }
    with pytest.raises(ValueError, match="law is not a study; the studies are .*laws"):
        scaling.study("law")


def test_notebooks_and_pages_use_nothing_else():
    """Examples import only `scaling`; pages on a user's own parts may import more."""
    root = Path(__file__).parents[1]
    books = [*root.glob("notebooks/*.ipynb"), root / "README.md", *root.glob("docs/**/*.md")]
    books.remove(root / "docs" / "howto" / "study.md")  # a file of the package itself
    deep = re.compile(r"(?:from|import) scaling\.[\w.]+|from scaling import")
    assert {book.name: found for book in books if (found := deep.findall(book.read_text()))} == {}
