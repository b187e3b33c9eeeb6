"""The page works in a browser without a network, and shows the numbers of its tables."""

import json
import re
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
from rows import write_sweep

from scaling import learning_rate_law, read, report
from scaling.reporting import page as pages
from scaling.storage import plans
from scaling.storage.tables import write_part
from scaling.studies.study import all_studies

DATA = Path(__file__).parents[2] / "notebooks" / "data"
HERE = Path(pages.__file__).parent


@pytest.fixture(scope="module")
def joint(tmp_path_factory) -> Path:
    """The folder of a report on a kept sweep of four settings."""
    return written(DATA / "joint.csv", tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """The folder of a report on runs with steps, evaluations and a plan."""
    lrs = tuple(np.geomspace(1e-4, 1e-2, 4))  # with many digits
    folder = write_sweep(tmp_path_factory.mktemp("runs") / "sweep", seeds=(0, 1, 2), lrs=lrs)
    cells = []
    for run in sorted(folder.iterdir()):
        steps = np.arange(500)
        losses = {"step": steps, "train_loss": 2 + np.exp(-steps / 100), "clipped": steps < 3}
        write_part(run / "steps", losses, 0)
        write_part(run / "epochs", {"step": [500], "val_loss": [2.25]}, 0)
        cells.append({"run": run.name, "digest": run.name, "overrides": ["batch=8", "study=sweep"]})
    plans.write(folder, "python -m scaling.train -m batch=8,16 study=sweep", cells)
    return written(folder, folder / "report")


def written(source: Path, out: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["report", str(source), "--out", str(out)])
        assert report.main() == 0
    return out


@pytest.fixture
def opened(browser):
    """Open a report's page offline; after the test, no script failed and nothing was requested."""
    seen, contexts = [], []

    def open_page(folder: Path, **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: seen.append(f"error: {error}"))
        tab.on("console", lambda line: line.type == "error" and seen.append(line.text))
        tab.on("request", lambda request: seen.append(request.url))
        tab.goto(f"file://{folder / 'index.html'}")
        if options.get("java_script_enabled", True):
            count = tab.locator(".chart").count()
            tab.wait_for_function(
                f"document.querySelectorAll('.chart[data-drawn=true]').length === {count}"
            )
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in seen if not line.startswith(("file:", "data:"))] == []


def test_best_learning_rates_on_the_page_are_those_of_the_tables(joint, opened):
    tab = opened(joint)
    lines = [
        row.split("\t") for row in tab.locator("#answer table").first.inner_text().splitlines()
    ]
    optima = pd.read_csv(joint / "optima.csv").set_index(["setting", "batch"])
    settings = lines[0][1:]
    assert settings == ["clip=0.2", "clip=0.65", "clip=1.25", "clip=inf"]
    for batch, *texts in lines[1:]:
        for setting, text in zip(settings, texts, strict=True):
            one = optima.loc[setting, float(batch)]
            number = one["lr"] if one["status"] == "interior" else one["low"]
            assert float(re.search(r"[\d.]+", text)[0]) == pytest.approx(number, rel=0.06)
    laws = pd.read_csv(joint / "laws.csv").set_index("setting")
    for row in tab.locator("#answer table").nth(1).inner_text().splitlines()[1:]:
        setting, formula, exponent, *_ = row.split("\t")
        assert float(exponent.split()[0]) == pytest.approx(laws.loc[setting, "exponent"], abs=0.006)
        assert f"B^{laws.loc[setting, 'exponent']:.2f}" in formula


def test_answer_json_holds_the_numbers_of_the_page(joint):
    record = json.loads((joint / "answer.json").read_text())
    laws = pd.read_csv(joint / "laws.csv").set_index("setting")
    for one in record["settings"]:
        line = laws.loc[one["setting"]]
        assert one["law"]["identified"] == line["identified"]
        if line["identified"]:
            assert one["law"]["exponent"] == pytest.approx(line["exponent"], rel=1e-5)
    assert record["claims"]["supported"] == 2
    assert record["next"]["why"]


@pytest.mark.parametrize("folder", ["joint", "sweep"])
def test_charts_follow_the_schema_of_vega_lite(folder, request):
    page = (request.getfixturevalue(folder) / "index.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    charts = json.loads(data)["charts"]
    assert {"loss", "intervals", "law", "map_val_loss", "map_clip_percent"} <= set(charts)
    assert ("curves" in charts) == (folder == "sweep")
    for spec in charts.values():
        alt.Chart.from_dict(spec)  # a wrong one raises SchemaValidationError


def marks(tab, chart: str) -> list[float]:
    """The opacities of the points of a chart."""
    paths = f"document.querySelectorAll('[data-chart={chart}] .mark-symbol.role-mark path')"
    return tab.evaluate(f"[...{paths}].map(p => Number(getComputedStyle(p).opacity))")


def test_a_click_in_the_legend_isolates_a_batch(joint, opened):
    tab = opened(joint)
    assert set(marks(tab, "loss")) == {1.0}
    tab.locator("[data-chart=loss] .role-legend-label").filter(has_text="64").first.click()
    tab.wait_for_timeout(200)
    shown = marks(tab, "loss")
    assert set(shown) == {1.0, 0.12}
    assert shown.count(1.0) == 5  # the learning rates of one batch size


def test_menus_change_setting_measure_and_map(joint, opened):
    tab = opened(joint)
    before = tab.locator("[data-chart=loss] svg").inner_html()
    tab.locator("#setting").select_option("clip=inf")
    tab.wait_for_timeout(200)
    after = tab.locator("[data-chart=loss] svg").inner_html()
    assert before != after
    tab.locator("#measure").select_option("train_loss")
    tab.wait_for_timeout(200)
    assert tab.locator("[data-chart=loss] svg").inner_html() != after
    assert not tab.locator("[data-chart=map_clip_percent]").is_visible()
    tab.locator("#shade").select_option("clip_percent")
    assert tab.locator("[data-chart=map_clip_percent]").is_visible()


def test_a_typed_batch_size_gives_the_prediction_of_the_law(joint, opened):
    tab = opened(joint)
    rows = read(DATA / "joint.csv")
    law = learning_rate_law(rows[rows["clip"] == 0.2])
    for batch in (32, 50, 200):
        tab.locator("#batch").fill(str(batch))
        shown = [float(x) for x in re.findall(r"[\d.]+", tab.locator("#predicted").inner_text())]
        lr, low, high = law.predict(pd.DataFrame({"batch": [batch]})).to_numpy()[0]
        assert [shown[0], shown[-2], shown[-1]] == pytest.approx([lr, low, high], rel=0.05)
    assert "outside the batch sizes of the sweep" in tab.locator("#predicted").inner_text()
    tab.locator("#batch").fill("-3")
    assert "give a batch size from 8 to 512" in tab.locator("#predicted").inner_text()
    tab.locator("#setting").select_option("clip=1.25")
    assert "no law in this setting" in tab.locator("#predicted").inner_text()


def test_learning_curves_follow_a_click_on_a_point(sweep, opened):
    tab = opened(sweep)
    what = tab.locator("#curves-what")
    assert what.inner_text() == "Shown: the best lr of each batch size, 6 runs."
    tab.locator("[data-chart=loss] .mark-symbol.role-mark path").nth(1).click()
    tab.wait_for_timeout(200)
    assert re.fullmatch(r"Shown: batch \d+, lr 0.000464159, 3 runs.", what.inner_text())
    assert tab.locator("[data-chart=curves] .mark-line path").count() == 3


def test_runs_are_sorted_by_any_column_and_link_to_their_files(sweep, opened):
    tab = opened(sweep)
    table = tab.locator("table.rows")
    heads = table.locator("th").all_inner_texts()
    tab.locator("table.rows th button").nth(heads.index("lr")).click()
    lrs = [
        float(x) for x in table.locator(f"td:nth-child({heads.index('lr') + 1})").all_inner_texts()
    ]
    assert lrs == sorted(lrs)
    assert len(lrs) == 24
    assert len(set(lrs)) == 4
    link = table.locator("a", has_text="config").first.get_attribute("href")
    assert (sweep / link).resolve().is_file()
    command = table.locator("button[data-copy]").first.get_attribute("data-copy")
    assert command == "python -m scaling.train batch=8 study=sweep"


def test_a_setting_without_losses_is_not_in_the_menu(opened, tmp_path, monkeypatch):
    for study in all_studies():
        monkeypatch.setattr(study, "figures", lambda _: {})
    rows = read(DATA / "joint.csv")
    rows.loc[rows["clip"] == 0.2, "status"] = "diverged"
    rows.to_csv(tmp_path / "mine.csv", index=False)
    tab = opened(written(tmp_path / "mine.csv", tmp_path / "out"))
    names = tab.locator("#setting option").all_inner_texts()
    assert names == ["clip=0.65", "clip=1.25", "clip=inf"]
    assert len(marks(tab, "loss")) == 15


@pytest.mark.parametrize("width", [360, 700, 1400])
def test_nothing_is_wider_than_the_window(joint, opened, width):
    tab = opened(joint, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    name = "batch=16,lr=0.003,clip=1,seed=0-195b84d52f97"  # of a run with a caveat
    aside = "document.querySelector('#answer aside')"
    tab.evaluate(f"{aside}.querySelector('li').textContent = '{2 * name}'")
    assert tab.evaluate(f"{aside}.scrollWidth <= {aside}.clientWidth")


def test_a_browser_without_scripts_shows_answer_and_figures(joint, opened):
    tab = opened(joint, java_script_enabled=False)
    assert "0.0041 (0.001 to 0.03)" in tab.locator("#answer").inner_text()
    images = tab.locator("noscript img, img").all()
    assert {"loss_against_lr", "optimal_lr", "loss_heatmap"} <= {
        image.evaluate("i => i.parentElement.id").removeprefix("figure-")
        for image in images
        if image.is_visible()
    }


def test_every_control_has_a_name_and_every_figure_a_text(joint, opened):
    tab = opened(joint)
    for chart in tab.locator(".chart").all():
        assert chart.get_attribute("aria-label")
    for image in tab.locator("img").all():
        assert image.get_attribute("alt")
    unnamed = "[...document.querySelectorAll('select, input')].filter(x => !x.labels.length).length"
    assert tab.evaluate(unnamed) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_of_text_have_the_contrast_that_reading_needs(scheme):
    css = (HERE / "page.css").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", block)) for block in css.split("@media", 2)[:2]
    )
    colors = dark if scheme == "dark" else light
    for name in ("ink", "quiet", "link", "good", "bad", "open"):
        for ground in ("paper", "card"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""
    bright = sorted(luminance(color) for color in (one, other))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_sizes_of_the_pages(joint, sweep):
    assert (joint / "index.html").stat().st_size < 2.5e6
    assert (sweep / "index.html").stat().st_size < 1.5e6
