"""How Sphinx builds these pages: `make docs`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import generated

import scaling

project = "scaling"
author = "the authors of scaling"
version = release = scaling.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"  # sources are all of this repository, so that links hold in a checkout, too
include_patterns = ["*.md", "docs/**.md", "notebooks/*.ipynb"]
exclude_patterns = [".*", "README.md", "docs/_build", "multirun", "src", "tests"]
html_theme = "furo"
html_title = "scaling"
default_role = "code"  # docstrings write `name`, as Markdown does

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # those of Lightning refer to its own pages
myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/test_notebooks.py executes them


def setup(app: Sphinx) -> None:
    """Fill in the pages that are made from files of this repository."""
    app.connect("source-read", generated.fill)
