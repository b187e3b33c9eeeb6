"""Pages of the documentation: examples run, links resolve, tables are complete."""

import doctest
import re
from pathlib import Path

import documentation
import pandas as pd
import pytest

import scaling
from scaling.config import schema
from scaling.config.folder import FOLDER
from scaling.studies.study import all_studies

ROOT = Path(__file__).parents[2]
DOCS = documentation.DOCS
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]
DATA = ROOT / "notebooks" / "data"
EXAMPLES = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generated():
    """The module of the documentation that makes its generated parts."""
    return documentation.module("generated")


WITH_EXAMPLES = [page for page in PAGES if EXAMPLES.search(page.read_text())]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_examples_print_what_a_page_shows(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    examples = "\n".join(EXAMPLES.findall(page.read_text()))
    test = doctest.DocTestParser().get_doctest(examples, {}, page.stem, str(page), 0)
    with pd.option_context("display.width", 100):
        doctest.DebugRunner().run(test)


@pytest.mark.parametrize("page", ["README.md", "docs/guides/lightning.md"])
def test_a_trainer_is_made_as_a_page_says(page, folder):
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    made = {}
    exec(code, made)
    (norms,) = [part for part in made["trainer"].callbacks if type(part) is scaling.GradientNorms]
    assert norms.flush_every == 50


def test_a_report_says_what_the_page_on_reports_shows():
    sweep = scaling.SweepTables.of(DATA / "joint.csv")
    lines = scaling.sweep_caveats(sweep.rows)
    for study in all_studies():
        if study.applies(sweep):
            lines += study.sentences(sweep)
            lines += {f"{v.word.upper()}: {v.sentence}" for _, v in study.verdicts(sweep)}
    page = (DOCS / "guides" / "reports.md").read_text()
    shown = re.findall(r"^(?:LR_opt|Loss at|CONTRADICTED|Censored).*$", page, re.MULTILINE)
    assert len(shown) == 4
    for line in shown:
        assert line in lines or line.partition(" [phase")[0] in lines


def test_the_readme_and_several_pages_have_examples():
    assert len(WITH_EXAMPLES) >= 4
    assert WITH_EXAMPLES[0].name == "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_every_page_is_reached_from_the_index():
    index = (DOCS / "index.md").read_text()
    for page in DOCS.glob("**/*.md"):
        name = str(page.relative_to(DOCS).with_suffix(""))
        own = name.startswith("howto/") and "howto/[a-z]*" in index
        assert own or name == "index" or f"\n{name}\n" in index


def test_every_name_of_the_package_is_in_the_api_once(generated):
    documented = re.findall(r"^\.\. auto\w+:: scaling\.(\w+)$", generated.api(), re.MULTILINE)
    assert sorted(documented) == scaling.__all__


def test_the_table_of_experiments_follows_from_the_headers(generated):
    page = generated.experiments()
    for file in (FOLDER / "experiment").glob("*.yaml"):
        (number,) = re.findall(r"^# Cost:     (\d+) runs", file.read_text(), re.MULTILINE)
        assert f"| [`{file.stem}`](#experiment-{file.stem}) | {number} |" in page
        assert f"\n## `{file.stem}`\n" in page


def test_a_new_experiment_appears_automatically(generated, tmp_path, monkeypatch):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "widths.yaml").write_text(
        "# @package _global_\n# Question: does\n#           width matter?\n"
        "# Command:  python -m scaling.train experiment=widths\n# Cost:     6 runs, a minute.\n"
        "study: widths # not of the header\n"
    )
    monkeypatch.setattr(generated, "FOLDER", tmp_path)
    assert "| [`widths`](#experiment-widths) | 6 | does width matter? |" in generated.experiments()
    assert "Does width matter?\n\n```bash\npython -m" in generated.experiments()
    assert "- Cost: 6 runs, a minute.\n" in generated.experiments()


def test_every_root_key_and_option_is_in_the_reference(generated):
    keys, groups = generated.root_keys(), generated.groups()
    defaults = (FOLDER / "config.yaml").read_text().partition("\nhydra:")[0]
    typed = re.findall(r"^(\w+): ", defaults, re.MULTILINE)
    assert {"study", "batch", "threads_from"} <= set(typed)
    for key in typed:
        assert f"| `{key}` |" in keys
    for group in schema.GROUPS:
        for file in (FOLDER / group).glob("*.yaml"):
            assert f"`{group}={file.stem}`" in groups


def test_each_generated_part_has_its_place(generated):
    pages = "".join(page.read_text() for page in PAGES)
    for name in generated.GENERATED:
        assert f"<!-- generated: {name} -->" in pages


def test_the_source_of_a_page_says_what_is_generated_and_the_built_page_does_not(generated):
    for page in PAGES:
        source = page.read_text()
        marks = source.count("<!-- generated: ")
        assert len(re.findall(r"^> `make docs` .*\n\n<!-- generated: ", source, re.M)) == marks
        if marks:
            built = [source]
            generated.fill(None, page.stem, built)
            assert "`make docs`" not in built[0]
            assert source.partition("\n\n> `make docs`")[0] + "\n\n" in built[0]


def test_the_fields_of_results_are_in_the_reference(generated):
    page = generated.results()
    for kind in ("Law", "PlainFit", "Optimum", "Effect", "Contrast", "Replicates"):
        assert f"### `{kind}`\n" in page
    law = page.partition("### `Law`")[2].partition("###")[0]
    assert {"exponent", "low", "high", "optima"} <= set(re.findall(r"^\| `(\w+)`", law, re.M))
