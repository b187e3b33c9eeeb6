"""Figures over the clip have a line for each batch size, and no clipping on the right."""

import math

import pytest
from rows import write_sweep

from scaling import results
from scaling.studies.clipping_figures import loss_against_clip, update_against_clip

DRAWN = [loss_against_clip, update_against_clip]


def test_losses_are_drawn_over_their_clip_with_no_clipping_on_the_right(tmp_path):
    rows = results.read(write_sweep(tmp_path / "s", clips=(0.5, 1.0, math.inf), seeds=(0, 1)))
    rows.loc[(rows["clip"] == 1.0) & (rows["batch"] == 8), "val_loss"] += 1
    (axes,) = loss_against_clip(rows).axes
    lines = {c.get_label(): c.lines[0] for c in axes.containers}
    assert set(lines) == {"8 (lr 0.001)", "16 (lr 0.001)"}
    assert lines["8 (lr 0.001)"].get_ydata().tolist() == pytest.approx([2.005, 3.005, 2.005])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "1", "none"]
    assert lines["8 (lr 0.001)"].get_xdata()[-1] > 1.0


def test_updates_over_the_clip_have_numbers_on_both_axes(tmp_path):
    rows = results.read(write_sweep(tmp_path / "s", clips=(0.5, 1.0, math.inf), seeds=(0, 1)))
    figure = update_against_clip(rows.assign(update_norm=0.03 + 0.01 * rows["clip"].rank()))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    seen = [label for label in axes.yaxis.get_major_ticks() if low <= label.get_loc() <= high]
    assert len([tick for tick in seen if tick.label1.get_text()]) >= 2


@pytest.mark.parametrize("status", ["failed", "diverged"])
@pytest.mark.parametrize("draw", DRAWN)
def test_runs_without_any_number_still_make_a_figure(tmp_path, draw, status):
    rows = results.read(write_sweep(tmp_path / "s", status=status, measured={}))
    draw(rows).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("draw", DRAWN)
def test_text_is_at_least_eight_points(tmp_path, draw):
    figure = draw(results.read(write_sweep(tmp_path / "s", seeds=(0, 1))))
    figure.draw_without_rendering()
    for axes in figure.axes:
        texts = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
        assert min(text.get_fontsize() for text in texts) >= 8
