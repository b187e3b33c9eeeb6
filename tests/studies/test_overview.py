"""Charts show whatever varies and was measured."""

from collections.abc import Callable, Iterable

import pandas as pd
import pytest
from rows import write_sweep

from scaling import results
from scaling.studies import clipping, overview
from scaling.studies.sweep_tables import SweepTables

MEASURED = {"grad_norm_pre_clip": 1.0, "update_norm": 0.1}


def names(draws: Iterable[Callable]) -> set[str]:
    return {draw.__name__ for draw in draws}


@pytest.fixture
def rows(tmp_path) -> pd.DataFrame:
    return results.read(write_sweep(tmp_path / "rates"))


def test_a_sweep_of_rates_is_drawn_over_rates_and_one_of_clips_over_clips(tmp_path, rows):
    rates = SweepTables(rows.assign(**MEASURED))
    assert set(overview.figures(rates)) == names(overview.OVER_LR)
    folder = write_sweep(tmp_path / "clips", lrs=(1e-3,), clips=(0.5, 1.0))
    clips = SweepTables(results.read(folder).assign(**MEASURED))
    assert overview.figures(clips) == {}
    assert set(clipping.figures(clips)) == {"loss_against_clip", "update_against_clip"}


def test_measures_that_no_run_has_are_not_drawn(rows):
    assert set(overview.figures(SweepTables(rows))) == {
        "loss_against_lr", "loss_heatmap", "clip_frequency"
    }  # fmt: skip


def test_accuracies_are_drawn_over_label_noise(rows):
    noisy = SweepTables(rows.assign(**{"data.label_noise": 0.4}))
    assert "accuracy_over_noise" in overview.figures(noisy)
    assert "accuracy_over_noise" not in overview.figures(SweepTables(rows))


def test_longer_tables_are_drawn_if_they_are_available(rows):
    sweep = SweepTables(rows)
    vars(sweep).update(
        steps=pd.DataFrame({"run": ["r"], "grad_norm_pre_clip": [1.0]}),
        layer_epochs=pd.DataFrame({"run": ["r"]}),
    )
    drawn = names((*overview.OVER_STEPS, *overview.OVER_LAYERS))
    assert drawn <= set(overview.figures(sweep))
