"""Figures show the numbers of the table, on axes with names and units."""

import pytest
from grids import grid
from rows import write_sweep

from scaling import figures, results
from scaling.analysis import optima

CHARTS = [
    figures.loss_against_lr,
    figures.loss_heatmap,
    figures.clip_frequency,
    figures.gradient_norm,
    figures.update_size,
]


@pytest.fixture
def table(tmp_path):
    return results.read(write_sweep(tmp_path / "sweep", seeds=(0, 1)))


def test_there_is_a_line_for_each_batch_through_the_means_over_seeds(table):
    (axes,) = figures.loss_against_lr(table).axes
    lines = {c.get_label(): c.lines[0] for c in axes.containers}
    assert set(lines) == {"8", "16"}
    assert lines["8"].get_xdata().tolist() == [1e-4, 1e-3, 1e-2]
    assert lines["8"].get_ydata().tolist() == pytest.approx([3.005, 2.005, 3.005])
    assert axes.get_xscale() == "log"
    (strip,) = axes.child_axes
    assert (strip.get_xlabel(), axes.get_ylabel()) == ("learning rate", "validation loss (nats)")


def test_trivial_losses_are_drawn_and_named(table):
    (axes,) = figures.loss_against_lr(table).axes
    assert {text.get_text() for text in axes.texts} == {"bigram 2.500", "unigram 3.000"}


def test_clip_frequencies_are_at_their_batch_and_learning_rate(table):
    table.loc[(table.batch == 16) & (table.lr == 1e-2), "clip_percent"] = 77
    axes = figures.clip_frequency(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["40"] * 5 + ["77"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1e-4", "0.001", "0.01"]


def test_each_setting_has_a_panel(tmp_path):
    table = results.read(write_sweep(tmp_path / "s", clips=(0.1, 1.0, float("inf"))))
    figure = figures.loss_against_lr(table)
    figure.draw_without_rendering()  # a layout that does not fit warns, and a warning is an error
    assert min(axes.get_window_extent().width for axes in figure.axes) > 200
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["clip=0.1", "clip=1", "clip=inf"]


@pytest.mark.parametrize("status", ["failed", "interrupted"])
@pytest.mark.parametrize("draw", CHARTS)
def test_runs_without_any_number_still_make_a_figure(tmp_path, draw, status):
    table = results.read(write_sweep(tmp_path / "s", status=status, measured={}))
    draw(table).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("draw", CHARTS)
def test_runs_that_all_diverged_still_make_a_figure(tmp_path, draw):
    table = results.read(write_sweep(tmp_path / "s", status="diverged", measured={}))
    draw(table).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("draw", CHARTS)
def test_text_is_at_least_eight_points(table, draw):
    figure = draw(table)
    figure.draw_without_rendering()
    for axes in figure.axes:
        texts = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
        assert min(text.get_fontsize() for text in texts) >= 8


def test_equal_references_share_a_line_and_the_nearest_is_named_if_none_is_in_view(tmp_path):
    floor = {"uniform_loss": 4.17439, "unigram_loss": 4.17439, "floor_loss": 4.17439}
    rows = results.read(write_sweep(tmp_path / "a", measured={"val_loss": 4.18, **floor}))
    (axes,) = figures.loss_against_lr(rows).axes
    assert [text.get_text() for text in axes.texts] == ["uniform, unigram, floor 4.174"]
    far = {"val_loss": 1.5, "uniform_loss": 4.0, "bigram_loss": 2.5, "trigram_loss": 1.9}
    rows = results.read(write_sweep(tmp_path / "b", measured=far))
    (axes,) = figures.loss_against_lr(rows).axes
    assert [text.get_text() for text in axes.texts] == ["trigram 1.900 \N{UPWARDS ARROW}"]


def test_intervals_of_the_optima_are_in_a_strip_below_the_axes(table):
    found = {optimum.batch: optimum for optimum in optima.optimum(table)}
    figure = figures.loss_against_lr(table)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (strip,) = axes.child_axes
    assert strip.get_window_extent().y1 < axes.get_window_extent().y0
    bars = [line for line in strip.lines if line.get_label() == "interval"]
    assert len(bars) == len(found) == 2
    for bar, batch in zip(bars, (8.0, 16.0), strict=True):
        assert bar.get_xdata()[0] == pytest.approx(max(found[batch].low, axes.get_xlim()[0]))
    assert [label.get_text() for label in strip.get_yticklabels()] == ["8", "16"]


def test_there_is_no_ring_where_a_run_diverged(table):
    table.loc[(table["lr"] == 1e-3) & (table["seed"] == 0), "status"] = "diverged"
    (axes,) = figures.loss_against_lr(table).axes
    rings = [line.get_xdata()[0] for line in axes.lines if line.get_markersize() == 9]
    assert len(rings) == 2
    assert 1e-3 not in rings


def test_a_panel_beside_one_without_numbers_has_labels_of_its_own():
    rows = grid(clips=(0.1, 1.0, 10.0))
    rows.loc[rows["clip"] != 1.0, "grad_norm_pre_clip"] = float("nan")
    figure = figures.gradient_norm(rows)
    _, right, _ = figure.axes
    assert right.get_ylabel() == "mean gradient norm before clipping"
    assert right.get_xlabel() == "learning rate"


def test_labels_that_panels_share_are_at_the_left_and_at_the_bottom():
    figure = figures.gradient_norm(grid(clips=(0.1, 1.0, 10.0)))
    above, right, below = figure.axes
    assert (above.get_xlabel(), right.get_ylabel()) == ("", "")
    assert right.get_xlabel() == below.get_xlabel() == "learning rate"
    assert above.get_ylabel() == below.get_ylabel() != ""


def test_diverged_runs_are_crosses_in_the_map_beside_the_mean_of_the_others():
    rows = grid()
    lost = (rows["batch"] == 16) & (rows["lr"] == 3e-2)
    rows.loc[lost & (rows["seed"] == 0), "status"] = "diverged"
    rows.loc[(rows["batch"] == 32) & (rows["lr"] == 3e-2), "status"] = "diverged"
    axes = figures.loss_heatmap(rows).axes[0]
    places = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines}
    assert (5.5, 1.5) in places  # no seed finished: in the middle
    assert len(places) == 2
    assert len(axes.texts) == 4 * 6 - 1


def test_the_frame_is_where_no_run_diverged():
    rows = grid(batches=(64,))
    rows.loc[(rows["lr"] == 1e-3) & (rows["seed"] == 0), "status"] = "diverged"
    (frame,) = figures.loss_heatmap(rows).axes[0].patches
    assert frame.get_x() != 2
