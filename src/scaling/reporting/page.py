"""The page of a report: one self-contained HTML file that needs no network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import markupsafe
import pandas as pd


@dataclass(frozen=True)
class Picture:
    """A figure on the page; its files are beside the page."""

    name: str
    caption: str
    path: Path  # of the SVG

    @property
    def svg(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Table:
    """A table on the page, collapsed at first; its files are beside the page."""

    name: str
    frame: pd.DataFrame

    @property
    def html(self) -> markupsafe.Markup:
        """The table with four digits, escaped; missing values are blank."""
        text = self.frame.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
        return markupsafe.Markup(text)


@dataclass(frozen=True)
class Page:
    """The contents of the page, in order."""

    title: str
    subtitle: str
    sentences: Sequence[str]
    claims: Sequence[str]
    table: str
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    warnings: Sequence[str]
    provenance: Mapping[str, str]

    def html(self) -> str:
        """The page as HTML, with all texts escaped."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
        )
        return environment.get_template("page.html").render(vars(self))
