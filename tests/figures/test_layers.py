"""Figures of layers show the table's numbers, first layer first."""

import numpy as np
import pandas as pd
import pytest
from rows import write_sweep

from scaling import figures, results

LAYERS = (figures.layer_norms, figures.layer_map, figures.batch_norms)


@pytest.fixture
def tables(tmp_path) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = results.read(write_sweep(tmp_path / "s", lrs=(1e-3,), seeds=(0, 1)))
    rows = rows[rows["batch"] == 8]
    layers = [
        {"run": run, "epoch": epoch, "layer": name, "kind": kind, "mean": 2.0 + i + seed,
         "q05": 1.0 + i, "q50": 2.0 + i, "q95": 3.0 + i, "rms": 10.0 ** -(i + epoch)}
        for seed, run in enumerate(rows["run"])
        for epoch in range(3)
        for i, (name, kind) in enumerate(
            [("hidden.0.weight", "weight"), ("hidden.0.bias", "bias"), ("last.weight", "weight")]
        )
    ]  # fmt: skip
    return rows, pd.DataFrame(layers)


def test_norms_are_drawn_for_weights_in_the_order_of_the_net(tables):
    (axes,) = figures.layer_norms(*tables).axes
    assert [line.get_label() for line in axes.lines] == ["_hidden.0.weight", "_last.weight"]
    assert {text.get_text() for text in axes.texts} == {"hidden.0.weight", "last.weight"}
    assert axes.lines[0].get_ydata().tolist() == [2.5] * 3  # the mean over two seeds
    assert axes.get_ylabel() == "gradient norm of a mini-batch"


def test_the_map_has_layers_down_and_epochs_across(tables):
    axes = figures.layer_map(*tables).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "hidden.0.weight", "last.weight",
    ]  # fmt: skip
    np.testing.assert_allclose(
        np.log10(axes.collections[0].get_array().reshape(2, 3)), [[0, -1, -2], [-2, -3, -4]]
    )


def test_scatter_is_that_of_the_first_and_the_last_layer_over_their_mean(tables):
    (axes,) = figures.batch_norms(*tables).axes
    first = axes.collections[0].get_segments()[0]
    assert first[:, 1].tolist() == pytest.approx([(1 / 2 + 1 / 3) / 2, (3 / 2 + 3 / 3) / 2])
    assert {c.get_label() for c in axes.collections} == {"hidden.0.weight", "last.weight"}


def test_runs_without_a_layer_give_a_reason(tables):
    rows, layers = tables
    for draw in LAYERS:
        (axes,) = draw(rows.assign(status="failed"), layers).axes[:1]
        assert [text.get_text() for text in axes.texts] == ["no layer was measured"]


def test_accuracy_is_drawn_over_the_share_of_wrong_labels(tables):
    rows, _ = tables
    noisy = pd.concat(
        [
            rows.assign(**{"data.label_noise": share, "test_accuracy": 1 - share})
            for share in (0.0, 0.4)
        ]
    )
    (axes,) = figures.accuracy_over_noise(noisy).axes
    (line,) = [c.lines[0] for c in axes.containers]
    assert line.get_xdata().tolist() == pytest.approx([0, 40])
    assert line.get_ydata().tolist() == pytest.approx([100, 60])


def test_text_is_at_least_eight_points(tables):
    for draw in LAYERS:
        figure = draw(*tables)
        figure.draw_without_rendering()
        for axes in figure.axes:
            texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
            assert min(text.get_fontsize() for text in texts) >= 8
