"""One self-contained page of a report: it opens from disk and needs no network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import markupsafe
import pandas as pd


@dataclass(frozen=True)
class Picture:
    """A figure on the page; its files lie beside it."""

    name: str
    caption: str
    path: Path  # of the SVG

    @property
    def svg(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Table:
    """A table on the page, folded at first; its files are beside the page."""

    name: str
    frame: pd.DataFrame

    @property
    def html(self) -> markupsafe.Markup:
        """The table with four digits, escaped; what is missing is blank."""
        text = self.frame.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
        return markupsafe.Markup(text)


@dataclass(frozen=True)
class Page:
    """What stands on the page, in the order in which it stands there."""

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
        """The page; whatever comes from names and errors is escaped."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
        )
        return environment.get_template("page.html").render(vars(self))
