"""Figures follow the grid: ticks at what was tried, limits at the bowls, nothing over data."""

from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from grids import FEW, at, grid
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from scaling import figures
from scaling.figures.labels import spread_out
from scaling.figures.limits import bowl_limits, log_limits
from scaling.figures.palette import contrast, ink, looks, shades, text_on
from scaling.studies.clipping_figures import loss_against_clip
from scaling.studies.laws_figures import optimal_lr
from scaling.studies.tuning_figures import lr_sensitivity

FINE = tuple(np.geomspace(1e-5, 1e-1, 31))
OVER_LR = (figures.loss_against_lr, figures.gradient_norm, figures.update_size)
MAPS = (figures.loss_heatmap, figures.clip_frequency)
OVER_BATCH = (optimal_lr, lr_sensitivity)
GRIDS = {
    "large": {"batches": [2**i for i in range(12)], "lrs": FINE, "seeds": 1},
    "near": {"batches": (128, 256, 384, 512), "lrs": (1e-4, 2e-4, 3e-4, 4e-4, 8e-4)},
    "panels": {"batches": (16, 64), "lrs": FEW, "clips": (0.1, 1.0, np.inf)},
}


@cache
def drawn(draw: Callable[..., Figure], name: str) -> Figure:
    """A figure of one of the grids, laid out."""
    figure = draw(grid(**GRIDS[name]))
    figure.draw_without_rendering()
    return figure


def everything(figure: Figure) -> list[Axes]:
    """The axes of a figure, with strips."""
    return [one for axes in figure.axes for one in (axes, *axes.child_axes)]


def marks(axes: Axes, marker: str) -> list[float]:
    """Where marks of runs without a place are, on the x axis."""
    return [
        line.get_xdata()[0] for line in axes.lines
        if line.get_label() == "_mark" and line.get_marker() == marker
    ]  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("draw", [*OVER_LR, *MAPS, *OVER_BATCH, loss_against_clip])
def test_tick_labels_never_overlap(draw, name):
    for axes in everything(drawn(draw, name)):
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label for label in axis.get_ticklabels() if label.get_text()]
            boxes = [label.get_window_extent() for label in labels if label.get_visible()]
            assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("lrs", [FEW, FINE, (3e-4, 4e-4, 5e-3)])
@pytest.mark.parametrize("draw", OVER_LR)
def test_ticks_are_at_the_learning_rates_that_were_tried(draw, lrs):
    (axes, *_) = everything(draw(grid(lrs=lrs, seeds=1)))
    long, short = axes.get_xticks(), axes.get_xticks(minor=True)
    assert set(long) <= set(lrs)
    assert set(long) | set(short) == set(lrs)  # those without room for a label are short
    assert len(long) >= 2


def test_close_values_have_their_labels_where_there_is_room():
    axes = everything(figures.gradient_norm(grid(lrs=(1e-4, 3e-4, 4e-4, 8e-4))))[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1e-4", "3e-4", "4e-4", "8e-4"]
    axes = everything(optimal_lr(grid(batches=(128, 384, 512))))[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["128", "384", "512"]


def spoiled(value: float, lr: float = 3e-2):
    rows = grid()
    rows.loc[at(rows, batch=16, lr=lr), "val_loss"] = value
    return rows


@pytest.mark.parametrize("value", [6.9, 1e6, -100.0, np.inf])
def test_one_run_far_away_does_not_move_the_axis(value):
    usual = figures.loss_against_lr(grid()).axes[0].get_ylim()
    moved = figures.loss_against_lr(spoiled(value)).axes[0].get_ylim()
    assert moved == pytest.approx(usual, abs=0.15 * (usual[1] - usual[0]))


def test_the_axis_of_bowls_that_all_rise_steeply_at_the_last_lr_follows_the_rest():
    rows = grid(lrs=(3e-4, 1e-3, 3e-3, 1e-2))
    rows.loc[at(rows, lr=1e-2), "val_loss"] = 6.9
    assert bowl_limits([rows]).high < 3


def test_positive_losses_are_never_off_the_scale_below():
    rows = grid()
    rows.loc[at(rows, batch=16, lr=1e-3), "val_loss"] = 0.3
    assert bowl_limits([rows]).low == 0.3


def test_runs_off_the_scale_have_marks_and_their_range_is_in_the_legend():
    high, low = (figures.loss_against_lr(spoiled(value)) for value in (6.9, -100.0))
    assert marks(high.axes[0], "^").count(3e-2) >= 1
    assert marks(low.axes[0], "v") == [3e-2]
    texts = [text.get_text() for text in high.legends[0].get_texts()]
    assert any(text.startswith("off the scale") and "6.9" in text for text in texts)
    assert marks(figures.loss_against_lr(grid(lrs=FEW[1:5])).axes[0], "v") == []


def test_a_line_that_leaves_the_axis_has_one_mark_on_each_side():
    rows = grid(**GRIDS["large"])
    (axes,) = figures.loss_against_lr(rows).axes
    assert 12 <= len(marks(axes, "^")) <= 24  # of 12 batch sizes


def test_diverged_runs_are_crosses_above_the_axes():
    rows = grid()
    rows.loc[at(rows, batch=64, lr=3e-2), ["status", "val_loss"]] = ["diverged", np.nan]
    figure = figures.loss_against_lr(rows)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert marks(axes, "x") == [3e-2]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert cross.get_window_extent().y0 > axes.get_window_extent().y1


@pytest.mark.parametrize("draw", [*OVER_LR, *OVER_BATCH])
def test_panels_share_their_limits(draw):
    rows = grid(**GRIDS["panels"])
    rows.loc[rows["clip"] == 0.1, ["val_loss", "grad_norm_pre_clip"]] += 0.3
    axes = draw(rows).axes
    assert len(axes) == 3
    assert len({(one.get_xlim(), one.get_ylim()) for one in axes}) == 1


def test_maps_share_their_colors():
    rows = grid(**GRIDS["panels"])
    rows.loc[rows["clip"] == 0.1, "val_loss"] += 0.3
    figure = figures.loss_heatmap(rows)
    *maps, _bar = figure.axes
    assert len(maps) == 3
    assert len({axes.collections[0].norm.vmax for axes in maps}) == 1


def texts_and_legends(figure: Figure) -> list:
    boxes = [legend.get_window_extent() for legend in figure.legends]
    for axes in figure.axes:
        boxes += [Text.get_window_extent(text) for text in axes.texts]  # without their leaders
        boxes += [one.get_window_extent() for one in [axes.get_legend()] if one]
    return boxes


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("draw", [*OVER_LR, *OVER_BATCH, loss_against_clip])
def test_labels_and_legends_are_outside_the_axes(draw, name):
    figure = drawn(draw, name)
    for axes in figure.axes:
        inside = axes.get_window_extent()
        assert not any(inside.overlaps(box) for box in texts_and_legends(figure) if axes.axison)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("draw", [*OVER_LR, *MAPS, *OVER_BATCH, loss_against_clip])
def test_everything_is_inside_the_figure(draw, name):
    figure = drawn(draw, name)
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= whole[0] + 0.02
    assert box.y1 <= whole[1] + 0.02


def test_many_lines_are_labelled_at_their_ends_without_overlap():
    rows = grid(batches=[2**i for i in range(12)], lrs=FEW)
    for draw in OVER_LR:
        figure = draw(rows)
        figure.draw_without_rendering()
        labels = [text for text in figure.axes[0].texts if text.get_text()[-1:].isdigit()]
        assert {f"{2**i}" for i in range(1, 12)} <= {text.get_text() for text in labels}
        boxes = [Text.get_window_extent(text) for text in labels]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_labels_are_moved_as_little_as_needed():
    assert spread_out([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread_out([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread_out([1.0, 1.0, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("draw", MAPS)
def test_numbers_in_cells_are_readable_and_fit(draw, name):
    figure = drawn(draw, name)
    for axes in figure.axes[:-1]:
        (cells,) = axes.collections
        colors = cells.to_rgba(cells.get_array()).reshape(-1, 4)
        down, across = cells.get_array().shape
        width = axes.get_window_extent().width / across
        for text in axes.texts:
            x, y = text.get_position()
            color = colors[int(y) * across + int(x)]
            written = (0.0, 0.0, 0.0) if text.get_color() == "black" else (1.0, 1.0, 1.0)
            assert contrast(written, color) >= 4.5
            assert text.get_window_extent().width < width
        assert len(axes.texts) in (0, down * across)
    assert bool(axes.texts) == (name != "large")


def test_learning_rates_that_differ_by_rounding_share_a_column():
    rows = grid(batches=(16, 64), lrs=FEW[:3])
    rows["lr"] = rows["lr"].where(rows["batch"] == 16, rows["lr"] * 1.001)
    cells = figures.loss_heatmap(rows).axes[0].collections[0].get_array()
    assert cells.shape == (2, 3)
    assert not np.ma.getmaskarray(cells).any()


def test_labels_of_lines_that_left_the_axis_are_in_the_order_of_batch_sizes():
    (axes,) = figures.loss_against_lr(grid(**GRIDS["large"])).axes
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    named = [heights["batch 1"], *(heights[str(2**i)] for i in range(1, 12))]
    assert named == sorted(named, reverse=True)


def test_text_on_any_color_has_enough_contrast():
    for color in np.random.default_rng(0).uniform(size=(1000, 3)):
        text = (0.0, 0.0, 0.0) if text_on(color) == "black" else (1.0, 1.0, 1.0)
        assert contrast(text, color) >= 4.5
        assert contrast(ink(color), (1.0, 1.0, 1.0)) >= 4.5


def lab(color) -> np.ndarray:
    """A color in CIE 1976 L*a*b*, whose distances are those of perception."""
    part = np.array(color)
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(("count", "apart"), [(2, 40), (4, 40), (7, 35), (12, 18)])
def test_batch_sizes_can_be_told_apart_and_are_in_order(count, apart):
    colors = [lab(color) for color in shades(count)]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colors, 2)) > apart
    assert all(b[0] > a[0] for a, b in pairwise(colors))
    assert all(contrast(color, (1, 1, 1)) > 2 for color in shades(count))
    markers = [look.marker for look in looks(grid(batches=range(1, count + 1))).values()]
    assert all(one != other for one, other in pairwise(markers))


def test_a_batch_size_looks_the_same_in_every_panel():
    rows = grid(**GRIDS["panels"])
    rows = rows[~at(rows, clip=0.1, batch=16)]
    first, second, _ = figures.gradient_norm(rows).axes
    assert first.lines[0].get_color() == second.lines[1].get_color() == looks(rows)[64.0].color


def test_update_size_is_divided_by_lr():
    (axes,) = figures.update_size(grid()).axes
    assert axes.lines[0].get_ydata() == pytest.approx(70)


def test_open_ends_of_intervals_are_arrows():
    cut = grid(lrs=(1e-5, 2e-5, 4e-5, 8e-5), seeds=3)
    (axes,) = figures.loss_against_lr(cut).axes
    arrows = [line for line in axes.child_axes[0].lines if line.get_marker() == ">"]
    assert [line.get_xdata()[0] for line in arrows] == [axes.get_xlim()[1]] * 4
    law = optimal_lr(cut).axes[0]
    tips = [line for line in law.lines if line.get_marker() == "^" and not line.get_clip_on()]
    assert len(tips) == 4
    inside = figures.loss_against_lr(grid(seeds=3)).axes[0].child_axes[0]
    assert {line.get_marker() for line in inside.lines} <= {"None", "|"}


def test_the_best_reference_that_is_lower_than_all_losses_is_drawn():
    (axes,) = figures.loss_against_lr(grid()).axes
    assert {text.get_text() for text in axes.texts} == {"bigram 2.320", "trigram 1.710"}
    assert axes.get_ylim()[0] < 1.71
    far = figures.loss_against_lr(grid().assign(trigram_loss=0.1)).axes[0]
    assert "trigram 0.100 \N{DOWNWARDS ARROW}" in {text.get_text() for text in far.texts}
    assert far.get_ylim()[0] > 1


def test_values_far_away_do_not_move_a_logarithmic_axis():
    usual = list(np.geomspace(1, 3, 20))
    assert log_limits([*usual, 1e8, 0.0, np.nan]) == log_limits(usual)


def test_grids_of_one_run_or_none_that_finished_make_figures():
    one = grid(batches=(16,), lrs=(1e-3,), seeds=1)
    lost = grid().assign(status="diverged")
    for rows in (one, lost):
        for draw in (*OVER_LR, *MAPS, *OVER_BATCH, loss_against_clip):
            draw(rows).draw_without_rendering()
