"""Losses that mean nothing are not compared: the report is about what else was recorded."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from grids import grid

from scaling.contracts.columns import FIXED
from scaling.contracts.metric import UNINFORMATIVE, metric_of
from scaling.reporting import build, content, page_parts
from scaling.reporting.charts.measure import varied_chart
from scaling.reporting.content import Content
from scaling.reporting.next_step import Command
from scaling.studies import clipping, laws, overview, replicates, tuning
from scaling.studies.sweep_tables import SweepTables

KEPT = Path(__file__).parents[2] / "notebooks" / "data" / "phase_1_injected"


def contents(sweep: SweepTables) -> Content:
    return Content.of(sweep, build._applying(sweep), (), Command(), ())


@pytest.fixture(scope="module")
def injected() -> Content:
    """Kept runs with injected gradients."""
    return contents(SweepTables.of(KEPT))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """A grid with two clips whose losses mean nothing."""
    table = grid(batches=(16, 64), lrs=(3e-4, 1e-3, 3e-3), clips=(1.0, np.inf))
    return table.assign(clip_coefficient_cv=0.1, **{UNINFORMATIVE: 1})


def test_the_first_screen_of_injected_gradients_is_about_tails(injected):
    first, *settings = injected.answer.headlines
    assert first == (
        "Tails of gradients: over time infinite variance in 2 of 4 settings, gaussian in 2; over "
        "the coordinates of a step cannot tell in 1 of 4 settings, gaussian in 1, infinite "
        "variance in 1, laplace-like in 1"
    )
    assert len(settings) == 4
    assert settings[-1] == (
        "  model.width=512, data.law=normal: over time gaussian (18 of 18 windows), shape 1.86; "
        "over the coordinates of a step laplace-like (18 of 18 windows), shape 1.09"
    )
    assert injected.short().startswith(first)
    assert injected.text("").startswith(first)
    assert page_parts.answer_part(injected.answer)["headlines"] == injected.answer.headlines
    assert json.loads(json.dumps(injected.answer.record()))["headlines"][0] == first


def test_no_loss_and_no_best_lr_is_in_a_report_of_injected_gradients(injected):
    everything = injected.text("")
    assert "No losses are compared: those of this data set mean nothing" in everything
    for words in ("nats", "best lr", "lr 0.001  ", "Loss at clip", "Validation loss", "unigram"):
        assert words not in everything.replace("batch 64, lr 0.001, clip", ""), words
    assert "If every step is clipped" in everything, "the update needs no loss"
    assert injected.answer.settings == ()
    assert varied_chart(injected.sweep.rows) is None
    runs = page_parts.runs_part(injected.sweep.rows, {}, Path("."), {})
    assert not [name for name in runs["columns"] if name.endswith("loss")]


def test_beside_other_data_only_their_losses_are_compared(rows):
    rows = rows[rows["clip"] == 1].assign(data="injected", val_loss=-400.0)
    plain = rows.assign(data="digits", val_loss=1 + np.log(rows["lr"] / 1e-3) ** 2)
    mixed = pd.concat([rows, plain.drop(columns=UNINFORMATIVE)], ignore_index=True)
    mixed = mixed.reindex(columns=list(dict.fromkeys([*FIXED, *mixed])))
    report = contents(SweepTables(mixed))
    assert [setting.title for setting in report.answer.settings] == ["data=digits"]
    assert "Losses of data=injected mean nothing, and are not compared" in report.answer.caveats
    everything = report.text("")
    assert "data=digits:\n" in everything
    assert "data=injected:\n" not in everything
    assert "-400" not in everything
    assert "Unresolved (data=injected)" not in everything
    runs = page_parts.runs_part(mixed, {}, Path("."), {})
    losses = [line["cells"][runs["columns"].index("val_loss")]["text"] for line in runs["lines"]]
    assert losses.count("") == len(rows)
    assert losses[0] == "1"


def test_figures_of_losses_are_left_out(rows):
    shown = overview.figures(SweepTables(rows))
    assert {"clip_frequency", "gradient_norm"} <= set(shown)
    assert not [name for name in shown if "loss" in name]
    assert "loss_against_lr" in overview.figures(SweepTables(rows.drop(columns=UNINFORMATIVE)))


def test_a_study_may_have_no_headline(rows):
    silent, one = (SimpleNamespace(headlines=lambda _, lines=n * ["found"]: lines) for n in (0, 1))
    for losses in (rows, rows.drop(columns=UNINFORMATIVE)):
        assert content._headlines(SweepTables(losses), [silent, one]) == ["found"]


def test_studies_of_losses_do_not_apply(rows):
    sweep = SweepTables(rows)
    for study in (laws, tuning, replicates):
        assert not study.applies(sweep), study
    twice = pd.concat([rows, rows.assign(study="again")], ignore_index=True)
    assert replicates.applies(SweepTables(twice.drop(columns=UNINFORMATIVE)))
    assert not replicates.applies(SweepTables(twice))
    assert clipping.applies(sweep)
    assert set(clipping.tables(sweep)) == {"clip_regimes"}
    assert set(clipping.figures(sweep)) == {"update_against_clip"}
    assert {verdict.source for _, verdict in clipping.verdicts(sweep)} == {
        "effective LR = LR x clip / norm"
    }


def test_losses_are_compared_if_some_runs_have_a_meaningful_one(rows):
    assert not metric_of(rows).informative
    some = rows.assign(**{UNINFORMATIVE: [1, *[np.nan] * (len(rows) - 1)]})
    assert metric_of(some).informative
    failed = some.assign(val_loss=[2.0, *[np.nan] * (len(rows) - 1)])  # without any column
    assert not metric_of(failed).informative
    assert metric_of(rows.drop(columns=UNINFORMATIVE)).informative


def test_a_command_prints_no_loss_that_means_nothing(command, folder):
    swept = command("-m", "model=two_layer", "data=injected", "data.val_examples=9", "lr=1e-3,1e-2")
    assert swept.code == 0, swept.err
    assert "done  clipped" in swept.out
    assert "No losses are compared" in swept.out
    assert "loss " not in swept.out
    one = command("model=two_layer", "data=injected", "data.val_examples=9", "lr=1e-3")
    assert "done" in one.out
    assert "loss      not shown: that of this data set means nothing\n" in one.out
    assert "val_loss" not in one.out
