"""The reference lists every column that a run writes."""

import re
from pathlib import Path

import pandas as pd
import pytest

import scaling
from scaling import results
from scaling.contracts.columns import FIXED

ROOT = Path(__file__).parents[2]
DATA = ROOT / "notebooks" / "data"
TABLES = ("steps", "epochs", "layers", "layer_epochs", "windows", "rounds", "tails", "probes")
ADAPTED = (
    *("model=tcn", "model.width=8", "data=flows", "adaptation=entropy", "epochs=1", "batch=16"),
    *("federation.rounds=1", "data.population.query_windows=48", "workers=0"),
    *("data.population.client_windows=100", "data.population.heldout_windows=40"),
    *("data.population.source_windows=40", "data.population.best_windows=50"),
)


def listed(page: str) -> set[str]:
    """The names in backticks on a page of the reference."""
    return set(re.findall(r"`([^`\n]+)`", (ROOT / f"docs/reference/{page}.md").read_text()))


def unlisted(columns: list[str], page: str) -> list[str]:
    """The columns that a page does not list; `before_*` lists all of its kind."""
    names = listed(page)
    kinds = tuple(name.removesuffix("*") for name in names if name.endswith("_*"))
    measured = [name for name in columns if "." not in name]  # no config keys
    return [name for name in measured if name not in names and not name.startswith(kinds)]


def missing(study: Path) -> dict[str, list[str]]:
    """The columns of each table of a study that its page does not list."""
    tables = {name: getattr(results, name)(study) for name in TABLES}
    tables["rows"] = scaling.read(study)
    return {name: names for name, table in tables.items() if (names := unlisted(list(table), name))}


def test_the_page_of_rows_begins_with_the_fixed_columns_in_their_order():
    page = (ROOT / "docs" / "reference" / "rows.md").read_text().partition("## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", " ".join(cells))) == FIXED


def test_every_column_of_a_trained_model_is_in_the_reference(command, folder):
    noise = ("model=mlp", "data=digits", "data.label_noise=0.4", "callbacks=layer_epochs")
    tails = ("model=mlp", "data=digits", "callbacks=tail_shape", "callbacks.tail_shape.draws=10")
    assert command(*tails, "steps=10", "study=tails").code == 0
    assert command(*noise, "study=images").code == 0
    assert command("study=text", "callbacks=noise_scale", "callbacks.noise_scale.every=1").code == 0
    assert missing(Path("multirun")) == {}


def test_every_column_of_an_adapted_model_is_in_the_reference(command, folder):
    assert command(*ADAPTED, small=False).code == 0
    assert missing(Path("multirun")) == {}


@pytest.mark.parametrize("table", ["epochs", "layer_epochs", "tails", "windows"])
def test_every_column_of_an_exported_table_is_in_the_reference(table):
    files = sorted(DATA.glob(f"*/{table}.parquet"))
    assert files
    for file in files:
        assert unlisted(list(pd.read_parquet(file)), table) == []
