"""Figures of adaptation show every query, early stops, intervals and baselines."""

import numpy as np
import pandas as pd
import pytest
from adaptations import made_up

from scaling.studies.adaptation import accuracy_figures, norm_figures, study
from scaling.studies.adaptation.runs import norms


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    given = made_up(
        batches=(16, 64), growth=64, gain=lambda run: 0.05,
        stop=lambda run: 5 if run["fold"] == 0 and run["batch"] == 64 else None,
    )  # fmt: skip
    return study.measures(given), study.passes(given)


def test_every_query_is_a_line_and_early_stops_end_in_a_cross(tables):
    drawn = norm_figures.adaptation_norms(*tables)
    upper, lower = drawn.axes[2:4]  # batch 64
    assert upper.get_title(loc="left") == "batch 64"
    own = norms(tables[1][tables[1]["arm"] == "64"], "pass_grad_norm")
    lines = [line for line in upper.lines if line.get_alpha() == 0.6]
    assert len(lines) == own["fold"].nunique() == 12
    first = own[own["fold"] == "fold 0, seed 0"]["gradient_norm"]
    assert lines[0].get_ydata().tolist() == pytest.approx(first.to_list())
    assert [line.get_marker() for line in upper.lines].count("x") == 4
    assert lower.lines[0].get_ydata().tolist() == [12] * 5 + [8] * 7


def test_curves_continue_a_stopped_run_at_its_last_value(tables):
    axes = accuracy_figures.accuracy_over_passes(*tables).axes[0]
    course = next(line for line in axes.lines if line.get_label() == "64")
    own = tables[1][tables[1]["arm"] == "64"]
    last = own.groupby("unit")["query_accuracy"].last().mean()
    assert course.get_ydata()[-1] == pytest.approx(100 * last)
    (mark,) = [line for line in axes.lines if line.get_marker() == "v" and len(line.get_xdata())]
    assert list(mark.get_xdata()) == [5]
    drawn = accuracy_figures.entropy_and_diversity(*tables).axes
    assert [axes.get_ylabel().replace("\n", " ") for axes in drawn] == [
        "mean entropy of predictions (nats)", "diversity H(pbar) / log K",
        "cosine between the gradients of both terms",
    ]  # fmt: skip


def test_accuracies_are_drawn_with_baselines(tables):
    left, right = accuracy_figures.accuracy_by_batch(*tables).axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["16", "64", "16\nto 64"]
    points = left.containers[0].lines[0].get_ydata()
    means = tables[0].groupby("arm")["query_accuracy"].mean()[["16", "64", "16 to 64"]]
    np.testing.assert_allclose(points, 100 * means)
    levels = {line.get_label(): line.get_ydata()[0] for line in left.lines}
    before = 100 * tables[0]["before_query_accuracy"].mean()
    assert levels["source model, query"] == pytest.approx(before)
    assert levels["best possible"] == pytest.approx(97)
    assert right.get_ylabel().replace("\n", " ") == "accuracy gained over the source (points)"


def test_no_interval_exceeds_the_range_of_an_accuracy():
    given = made_up(seeds=3, folds=1, gain=lambda run: 0.1 * run["seed"])
    left, _ = accuracy_figures.accuracy_by_batch(study.measures(given), study.passes(given)).axes
    ends = np.concatenate([bar.lines[2][0].get_segments() for bar in left.containers])[:, :, 1]
    assert ends.max() == 100
    assert ends.min() >= 0


def test_legends_cover_no_data(tables):
    for draw in study.FIGURES:
        drawn = draw(*tables)
        drawn.draw_without_rendering()
        (legend,) = drawn.legends
        right = max(axes.get_window_extent().x1 for axes in drawn.axes)
        assert legend.get_window_extent().x0 >= right


def test_text_is_at_least_eight_points(tables):
    for draw in study.FIGURES:
        drawn = draw(*tables)
        drawn.draw_without_rendering()
        for axes in drawn.axes:
            texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
            assert min(text.get_fontsize() for text in texts) >= 8


def test_each_figure_of_the_study_has_a_caption():
    drawings = study.figures(made_up(seeds=1, folds=2, passes=2))
    assert len(drawings) == len(study.FIGURES)
    assert all(drawing.caption for drawing in drawings.values())
