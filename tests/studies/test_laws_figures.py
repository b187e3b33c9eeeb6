"""The figure of the law shows the optima, censored ones, and the law."""

from pathlib import Path

import numpy as np
import pytest
from rows import write_sweep

from scaling import results
from scaling.analysis import powerlaws
from scaling.studies.laws_figures import optimal_lr


def test_a_censored_optimum_is_a_triangle_that_points_beyond_the_grid(tmp_path):
    cut = results.read(write_sweep(tmp_path / "cut", lrs=(1e-6, 1e-5, 1e-4), seeds=(0, 1, 2)))
    (axes,) = optimal_lr(cut).axes
    assert [line.get_marker() for line in axes.lines if len(line.get_xdata()) == 1] == ["^", "^"]
    inside = results.read(write_sweep(tmp_path / "inside", seeds=(0, 1, 2)))
    (axes,) = optimal_lr(inside).axes
    assert [line.get_marker() for line in axes.lines if len(line.get_xdata()) == 1] == ["o", "o"]


def test_the_line_of_a_law_is_the_law_even_if_minima_were_found_separately():
    kept = Path(__file__).parents[2] / "notebooks" / "data" / "fixed_examples.csv"
    rows = results.read(kept)
    law = powerlaws.learning_rate_law(rows)
    (axes,) = optimal_lr(rows).axes
    (line,) = (own for own in axes.lines if own.get_label() == "power law")
    assert axes.get_title(loc="left").startswith(f"exponent {law.exponent:.2f} (")
    slopes = np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata()))
    assert slopes == pytest.approx([law.exponent] * 4)


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_runs_without_any_number_still_make_a_figure(tmp_path, status):
    rows = results.read(write_sweep(tmp_path / "s", status=status, measured={}))
    optimal_lr(rows).savefig(tmp_path / "figure.png")


def test_text_is_at_least_eight_points(tmp_path):
    figure = optimal_lr(results.read(write_sweep(tmp_path / "s", seeds=(0, 1))))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
    assert min(text.get_fontsize() for text in texts) >= 8
