"""A report begins with what the rows support, and is one self-contained page."""

import contextlib
import io
import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import planted
import pytest
from grids import grid
from rows import write_sweep
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scaling import report, results
from scaling.figures import loss_against_lr
from scaling.reporting import build, text
from scaling.storage import plans
from scaling.storage.rows import ROW_FILE, write_json
from scaling.storage.tables import write_part
from scaling.studies.study import all_studies

SHOWN = {"loss_against_lr", "optimal_lr", "loss_heatmap", "clip_frequency", "lr_sensitivity"}


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep")


def run_report(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return report.main()


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> tuple[Path, str]:
    """A sweep with its report, and what the command printed."""
    folder = write_sweep(tmp_path_factory.mktemp("reported") / "sweep")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        assert run_report(patch, folder) == 0
    return folder, out.getvalue()


@pytest.fixture
def no_figures(monkeypatch):
    """Reports without figures, for tests of their text."""
    for study in all_studies():
        monkeypatch.setattr(study, "figures", lambda _: {})


def test_the_command_writes_a_page_tables_and_figures(reported):
    sweep, out = reported
    pictures = [f"{name}.{kind}" for name in SHOWN for kind in ("png", "svg")]
    for name in ("report.txt", "rows.csv", "rows.parquet", "index.html", *pictures):
        file = sweep / "report" / name
        assert file.stat().st_size > 100
    assert "*2.000" in out
    files = len(list((sweep / "report").iterdir()))
    assert f"page: {sweep / 'report' / 'index.html'} ({files - 1} files" in out


def test_a_figure_is_saved_with_its_layout(tmp_path):
    figure, twin = (loss_against_lr(grid()) for _ in range(2))
    files = build._saved(figure, tmp_path / "figure")
    twin.savefig(tmp_path / "twin.png", dpi=build.DPI)
    assert [file.name for file in files] == ["figure.png", "figure.svg"]
    assert files[0].read_bytes() == (tmp_path / "twin.png").read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_an_answer_for_programs_is_printed_and_kept(sweep, monkeypatch, capsys):
    assert run_report(monkeypatch, sweep, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((sweep / "report" / "answer.json").read_text())
    assert [one["batch"] for one in printed["settings"][0]["best"]] == [8, 16]


@pytest.mark.usefixtures("no_figures")
def test_nothing_is_written_outside_the_chosen_folder(sweep, tmp_path, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in sorted(sweep.rglob("*"))}
    assert run_report(monkeypatch, sweep, "--out", tmp_path / "elsewhere") == 0
    assert before == {path: path.stat().st_mtime_ns for path in sorted(sweep.rglob("*"))}


def test_the_page_needs_nothing_from_elsewhere(reported):
    sweep, _ = reported
    page = (sweep / "report" / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"']*//""", page)
    assert page.count("data:image/") == len(SHOWN)
    parts = ["answer", "loss", "law", "map", "claims", "mechanics", "runs", "methods"]
    places = [page.index(f'id="{part}"') for part in parts]
    assert places == sorted(places)
    assert page.index("One seed") < page.index('id="loss"')


@pytest.mark.usefixtures("no_figures")
def test_tables_of_the_studies_are_files_and_on_the_page(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path / "sweep", clips=(0.5, 1.0), seeds=(0, 1, 2))
    assert run_report(monkeypatch, folder) == 0
    page = (folder / "report" / "index.html").read_text()
    for name, lines in {"optima": 4, "laws": 2, "clip_effects": 1, "clip_regimes": 12}.items():
        table = pd.read_csv(folder / "report" / f"{name}.csv")
        same = pd.read_parquet(folder / "report" / f"{name}.parquet")
        numbers = same.select_dtypes("number").columns
        pd.testing.assert_frame_equal(same[numbers], table[numbers], check_dtype=False)
        assert set(same) == set(table)
        assert len(table) == lines
        assert f"{name}, {lines} line{'s' if lines > 1 else ''}" in page


def test_numbers_that_several_claims_share_are_printed_once(reported):
    out = (reported[0] / "report" / "report.txt").read_text()
    assert out.count("(no exponent: ") == 1
    assert out.count("(by the same numbers)") == 3
    judged = re.findall("^(?:SUPPORTED|CONTRADICTED|INCONCLUSIVE): .*", out, re.MULTILINE)
    assert f"of these {len(judged)} verdicts would be supported or contradicted by chance" in out


def test_names_from_the_rows_are_escaped_on_the_page(tmp_path, monkeypatch):
    folder = write_sweep(tmp_path / "<b>bold")
    assert run_report(monkeypatch, folder, "--out", tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page


@pytest.mark.usefixtures("no_figures")
def test_a_law_that_seeds_support_is_on_the_first_screen(tmp_path, monkeypatch, capsys):
    draw = planted.bowl(np.random.default_rng(0), "wide", noise=0.05)
    rows = draw.rows.assign(
        study="s", run=[f"r{i}" for i in range(len(draw.rows))], model="m", data="d", optimizer="o",
        protocol="steps", duration=10, val_loss_se=0.0, unigram_loss=np.nan, clip_percent=1.0,
        grad_norm_pre_clip=1.0, update_norm=1.0,
    )  # fmt: skip
    rows.to_csv(tmp_path / "kept.csv", index=False)
    assert run_report(monkeypatch, tmp_path / "kept.csv") == 0
    screen = "\n".join(capsys.readouterr().out.splitlines()[:15])
    low, high = map(float, re.search(r"exponent \S+ \((\S+) to (\S+)\) from", screen).groups())
    assert low - 0.01 <= draw.exponent <= high + 0.01
    assert (tmp_path / "kept" / "report" / "index.html").exists()


def test_the_figures_are_a_run_of_tensorboard(reported, tmp_path, monkeypatch):
    sweep = shutil.copytree(reported[0], tmp_path / "sweep")
    assert set(_events(sweep).Tags()["images"]) == {f"sweep/{name}" for name in SHOWN}
    for study in all_studies():
        figures = study.figures
        monkeypatch.setattr(study, "figures", lambda tables, own=figures: _one_of(own(tables)))
    assert run_report(monkeypatch, sweep) == 0  # a second report replaces the first
    events = _events(sweep)
    assert events.Tags()["images"] == ["sweep/loss_heatmap"]
    (image,) = events.Images("sweep/loss_heatmap")
    assert image.encoded_image_string == (sweep / "report" / "loss_heatmap.png").read_bytes()
    with PIL.Image.open(sweep / "report" / "loss_heatmap.png") as picture:
        assert (image.width, image.height) == picture.size
    assert len(results.read(sweep)) == 6


def _events(sweep: Path) -> EventAccumulator:
    (file,) = (sweep / "_sweep").iterdir()
    return EventAccumulator(str(file), size_guidance={"images": 0}).Reload()


def _one_of(figures: dict) -> dict:
    return {name: drawing for name, drawing in figures.items() if name == "loss_heatmap"}


@pytest.mark.usefixtures("no_figures")
def test_a_table_from_elsewhere_has_folded_claims_and_says_which_runs_are_not_shown(
    tmp_path, monkeypatch, capsys
):
    table = tmp_path / "export.csv"
    grid = [(batch, lr) for batch in (8, 16, 32) for lr in (1e-4, 1e-3, 1e-2)]
    rows = [f"finished,{b},{lr},{1e-4 * b + math.log10(lr / 1e-3) ** 2}" for b, lr in grid]
    rows[-1] = "crashed,32,0.01,"
    table.write_text("\n".join(["State,config/batch_size,config/lr,eval/loss", *rows]))
    assert run_report(monkeypatch, table, "--export", tmp_path / "kept") == 0
    said = capsys.readouterr().out
    assert f"export: {tmp_path / 'kept'} (rows.csv), which is read like the sweep" in said
    report = tmp_path / "export" / "report"
    page = (report / "index.html").read_text()
    assert page.count("Not shown: 1 failed run.") == 2  # below the losses and the map
    claims = page.partition('<h2 id="claims">')[2].partition("</section>")[0]
    what, _, rest = claims.partition("<details><summary>")
    assert f"{text.CLAIMS_ARE[1:]}.</p>" in what
    assert re.match(r"\d+ \w+.*</summary>", rest)
    assert "Published claims tested here: " not in page
    assert (
        f"Published claims tested here: {text.CLAIMS_ARE}\n" in (report / "report.txt").read_text()
    )


def test_provenance_is_counted_over_the_runs(tmp_path, monkeypatch):
    here = {"torch": "2.13", "start": "2026-01-02T00:00", "end": "2026-01-03T00:00"}
    folder = write_sweep(tmp_path / "sweep", provenance=here)
    later = write_sweep(tmp_path / "later", provenance=here | {"torch": "2.14", "end": "2027"})
    found = results.provenance(folder, later)
    assert found["torch"] == "2.13 (6), 2.14 (6)"
    assert (found["first start"], found["last end"]) == ("2026-01-02T00:00", "2027")


@pytest.mark.usefixtures("no_figures")
def test_a_half_finished_sweep_is_reported_with_what_is_missing(sweep, monkeypatch, capsys):
    (sweep / plans.FOLDER).mkdir()
    cells = [{"run": run, "digest": run} for run in (results.read(sweep)["run"][0], "other")]
    plan = {"schema": 1, "time": "t", "command": "python -m scaling.train -m x=1,2", "cells": cells}
    write_json(plan, sweep / plans.FOLDER / "t.json")
    assert run_report(monkeypatch, sweep) == 0
    assert "1 of 2 cells not done: python -m scaling.train -m x=1,2" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_a_corrupt_row_is_named_and_the_others_reported(sweep, monkeypatch, capsys):
    file = next(sweep.glob(f"*/{ROW_FILE}"))
    file.write_text("rubbish")
    assert run_report(monkeypatch, sweep) == 0
    said = capsys.readouterr()
    assert f"corrupt row: {file}" in said.err
    assert "1 of 6 runs corrupt" in said.out


@pytest.mark.usefixtures("no_figures")
def test_a_damaged_table_is_named_and_the_runs_are_reported(sweep, monkeypatch, capsys):
    runs = sorted(path.parent for path in sweep.glob(f"*/{ROW_FILE}"))
    for run in runs:
        write_part(run / "steps", {"step": [0, 1], "train_loss": [3.0, 2.0]}, first=0)
    torn = runs[0] / "steps" / "000000000.parquet"
    torn.write_bytes(b"PAR1 torn")
    assert run_report(monkeypatch, sweep, "--export", sweep.parent / "kept") == 0
    said = capsys.readouterr()
    assert said.err.count(f"damaged table: {torn} cannot be read") == 1
    assert "*2.000" in said.out
    assert f"damaged table: {torn}" in (sweep / "report" / "index.html").read_text()


def test_a_folder_that_is_not_a_sweep_is_refused(tmp_path, monkeypatch, capsys):
    assert run_report(monkeypatch, tmp_path / "nothing") == 2
    assert "nothing does not exist" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused(sweep, monkeypatch, capsys):
    (sweep / "report").write_text("a file where the folder should be")
    assert run_report(monkeypatch, sweep) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("given", [("a", "b"), (".",)])
def test_a_cell_that_another_study_has_is_still_missing_here(tmp_path, monkeypatch, capsys, given):
    for name in ("a", "b"):
        write_sweep(tmp_path / name)
    runs = sorted((tmp_path / "b").iterdir())
    cells = [{"run": run.name, "digest": run.name, "overrides": []} for run in runs]
    plans.write(tmp_path / "b", "python -m scaling.train -m study=b", cells)
    (runs[0] / ROW_FILE).unlink()
    assert (
        run_report(monkeypatch, *(tmp_path / name for name in given), "--out", tmp_path / "o") == 0
    )
    assert "1 of 6 cells not done" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--out", "--export"])
@pytest.mark.parametrize("above", [False, True])
def test_tables_are_not_written_among_runs(sweep, monkeypatch, capsys, option, above):
    before = sorted(sweep.parent.rglob("*"))
    place = sweep.parent if above else sweep
    assert run_report(monkeypatch, sweep, option, place) == 2
    assert f"{option} {place} is a folder of runs; choose another one" in capsys.readouterr().err
    assert sorted(sweep.parent.rglob("*")) == before


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("failed", "no run finished: out of memory"),
        ("interrupted", "no run finished: out of memory"),
        ("diverged", "every finished run diverged: try learning rates below 0.0001"),
    ],
)
def test_a_sweep_without_a_finished_run_has_a_page_that_says_so(
    tmp_path, monkeypatch, capsys, status, words
):
    folder = write_sweep(
        tmp_path / "sweep", status=status, measured={}, error="out of memory\nthe trace"
    )
    assert run_report(monkeypatch, folder) == 0
    assert words in capsys.readouterr().out
    page = (folder / "report" / "index.html").read_text()
    assert f"6 runs: 6 {status}" in page
    assert words.partition(":")[0] in page.lower()


@pytest.mark.usefixtures("no_figures")
def test_a_single_run_has_a_page(tmp_path, monkeypatch, capsys):
    folder = write_sweep(tmp_path / "sweep")
    for run in sorted(folder.iterdir())[1:]:
        shutil.rmtree(run)
    assert run_report(monkeypatch, folder) == 0
    assert "2 more seeds" in capsys.readouterr().out
    assert "1 run: 1 done" in (folder / "report" / "index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_the_page_of_two_thousand_runs_lists_the_best_thousand(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [
        {"batch": batch, "lr": lr, "seed": seed, "val_loss": 2 + rng.random()}
        for batch in 2.0 ** np.arange(3, 13)
        for lr in np.geomspace(1e-4, 1e-1, 10)
        for seed in range(20)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "many.csv", index=False)
    assert run_report(monkeypatch, tmp_path / "many.csv") == 0
    page = (tmp_path / "many" / "report" / "index.html").read_text()
    table = page[page.index('<table class="sortable rows">') :]
    assert table[: table.index("</table>")].count("<tr>") == 1001
    assert "The first 1000 of 2000 runs by loss" in page
