"""The page of a report: one self-contained HTML file that needs no network."""

import base64
import functools
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pandas as pd
import PIL.Image

from scaling.contracts.disk_cache import cached_text
from scaling.contracts.words import counted

HERE = Path(__file__).parent
LARGEST = 250_000  # bytes of an SVG on the page
WIDTH, COLORS = 900, 32  # of the PNG in its place
BUNDLED = "window.vegaEmbed = vegaEmbed;"  # what the page uses of Vega-Embed


def _svg(text: str) -> str:
    """An SVG as an address, a third shorter than in base64; paths are exact to 0.01 pixels."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    text = re.sub(r">\s+<", "><", text)
    escaped = text.strip().replace("%", "%25").replace("#", "%23").replace("\n", " ")
    return f"data:image/svg+xml,{escaped}"


@dataclass(frozen=True)
class Picture:
    """A figure on the page; its files are beside the page."""

    name: str
    caption: str
    path: Path  # of the SVG

    @property
    def source(self) -> str:
        """The picture for a page: the SVG, or a small PNG if the SVG is large."""
        if self.path.stat().st_size <= LARGEST:
            return _svg(self.path.read_text())
        return self.small

    @property
    def small(self) -> str:
        """The picture as a PNG of few colors."""
        small = io.BytesIO()
        with PIL.Image.open(self.path.with_suffix(".png")) as picture:
            width = min(WIDTH, picture.width)
            size = width, round(width * picture.height / picture.width)
            shown = picture.convert("RGB").resize(size, PIL.Image.Resampling.LANCZOS)
            shown.quantize(COLORS).save(small, "PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"


@dataclass(frozen=True)
class Table:
    """A table on the page, collapsed at first; its files are beside the page."""

    name: str
    frame: pd.DataFrame

    LONGEST = 200  # lines on the page; the file has all

    @property
    def length(self) -> str:
        """The number of its lines, with the noun."""
        return counted(len(self.frame), "line")

    @property
    def html(self) -> markupsafe.Markup:
        """The first lines of the table with four digits, escaped; missing values are blank."""
        text = self.frame.head(self.LONGEST).to_html(
            index=False, border=0, na_rep="", float_format="{:.4g}".format
        )
        return markupsafe.Markup(text)


def render(data: Mapping[str, Any], **parts: Any) -> str:
    """The page as HTML, with all texts escaped.

    Args:
        data: what the charts read; with a key `charts`, specifications by name. Without charts,
            Vega is left out.
        parts: what `page.html` shows.
    """
    charts = data["charts"]
    # an angle bracket in a text must not end the script that holds it
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return _template().render(
        **parts,
        charts=charts,
        data=markupsafe.Markup(text),
        vega=markupsafe.Markup(_vega()) if charts else "",
        js=markupsafe.Markup((HERE / "page.js").read_text()),
        css=markupsafe.Markup((HERE / "page.css").read_text()),
    )


@functools.cache
def _template() -> jinja2.Template:
    """The template of the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html")


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script: about 0.9 MB, bundled in about 2 s."""

    def bundled() -> str:
        import vl_convert  # large

        script: str = vl_convert.javascript_bundle(BUNDLED)
        return script

    script = cached_text("vega", (metadata.version("vl-convert-python"), BUNDLED), bundled)
    return script.replace("</script", "<\\/script")
