"""Figures of the cost of a wrong lr and of steps against batch show the computed numbers."""

import numpy as np
import pandas as pd
import pytest
from races import race
from rows import write_sweep

from scaling import results
from scaling.analysis import critical_batch, steps_to_loss
from scaling.analysis.lr_sensitivity import sensitivity
from scaling.studies import tuning_figures

FIXED = {
    "model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 200, "clip": 1.0
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    lrs = (1e-4, 1e-3, 1e-2, 1e-1)
    return results.read(write_sweep(tmp_path / "sweep", seeds=(0, 1, 2), lrs=lrs))


def runs(**settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, losses = race(jitter=0.05, batches=(4, 8, 16, 32, 64), **settings)
    return rows.assign(**FIXED), losses


def test_each_factor_has_a_line_through_its_costs(table):
    (axes,) = tuning_figures.lr_sensitivity(table).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_alpha()]
    for factor, line in zip(tuning_figures.FACTORS, lines, strict=True):
        costs = [one.lost for one in sensitivity(table, factors=(factor,))]
        assert line.get_ydata().tolist() == costs
        assert line.get_xdata().tolist() == pytest.approx([8, 16], rel=0.05)
    assert axes.get_ylabel() == "mean loss lost (nats)"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["8", "16"]


def test_a_range_that_the_grid_cuts_is_drawn_open_and_labelled(table):
    figure = tuning_figures.lr_sensitivity(table[table["lr"] < 5e-3])
    (axes,) = figure.axes
    symbols = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert {line.get_markerfacecolor() for line in symbols} == {"white"}
    assert "open: partly tried" in [text.get_text() for text in figure.legends[0].get_texts()]
    whole = table[table["batch"] == 8].assign(lr=lambda rows: 1e-3 * (rows["lr"] / 1e-3) ** 1.01)
    figure = tuning_figures.lr_sensitivity(whole)
    (inside,) = figure.axes
    symbols = [line for line in inside.lines if len(line.get_xdata()) == 1]
    assert "white" not in {line.get_markerfacecolor() for line in symbols}
    assert "open" not in " ".join(text.get_text() for text in figure.legends[0].get_texts())


def test_steps_are_drawn_at_their_batch_with_the_fitted_hyperbola():
    rows, losses = runs()
    found = critical_batch.tradeoff(steps_to_loss.arrivals(rows, losses).points)
    assert found.identified
    (axes,) = tuning_figures.steps_and_examples(rows, losses).axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in dots] == [
        (batch, steps) for batch, _, steps in found.optima
    ]
    curve = next(line for line in axes.lines if "critical" in str(line.get_label()))
    x, y = curve.get_data()
    assert y == pytest.approx(found.steps_min.value * (1 + found.critical_batch.value / x))
    flat, falling = [line.get_ydata() for line in axes.lines if line.get_linestyle() == ":"]
    assert np.ptp(flat) == 0
    assert falling * x == pytest.approx(np.full(len(x), found.examples_min.value))
    assert "steps to a training loss" in axes.get_ylabel()


def test_the_dashed_line_takes_as_many_examples_at_every_batch():
    (axes,) = tuning_figures.steps_and_examples(*runs()).axes
    dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
    x, y = dashed.get_data()
    assert np.ptp(x * y) == pytest.approx(0, abs=1e-6 * x[0] * y[0])


def test_unidentified_values_are_noted_in_the_panel_and_bounds_are_triangles():
    rows, losses = runs()
    (axes,) = tuning_figures.steps_and_examples(rows[rows["lr"] < 5e-2], losses).axes
    said = axes.get_title(loc="left").replace("\n", " ")
    assert "no critical batch: batch 4, 8, 16, 32, 64: the best lr is the highest" in said
    assert {line.get_marker() for line in axes.lines} == {".", "v", "None"}


def test_each_setting_has_a_panel():
    rows, losses = runs()
    other = rows.assign(clip=2.0, run=rows["run"] + " b")
    both = pd.concat([losses, losses.assign(run=losses["run"] + " b")])
    figure = tuning_figures.steps_and_examples(pd.concat([rows, other]), both)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["clip=1", "clip=2"]


@pytest.mark.parametrize("status", ["done", "diverged", "failed"])
def test_runs_without_any_number_still_make_a_figure(tmp_path, status):
    table = results.read(write_sweep(tmp_path / "s", status=status, measured={}))
    tuning_figures.lr_sensitivity(table).savefig(tmp_path / "a.png")
    tuning_figures.steps_and_examples(table, pd.DataFrame()).savefig(tmp_path / "b.png")
    rows, losses = runs()
    lost = rows.assign(status=status), losses.assign(train_loss=np.nan)
    tuning_figures.steps_and_examples(*lost).savefig(tmp_path / "c.png")


def test_text_is_at_least_eight_points(table):
    rows, losses = runs()
    for figure in (
        tuning_figures.lr_sensitivity(table),
        tuning_figures.steps_and_examples(rows, losses),
        tuning_figures.steps_and_examples(rows[rows["batch"] > 8], losses),
    ):
        figure.draw_without_rendering()
        for axes in figure.axes:
            texts = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
            texts += [axes.xaxis.label, axes.yaxis.label]
            for legend in filter(None, [axes.get_legend(), *figure.legends]):
                texts += legend.get_texts()
            assert min(text.get_fontsize() for text in texts) >= 8
