"""The noise scale in a report: its figure, its sentences, and the turn of the law beside it."""

import math

import numpy as np
import pandas as pd
import pytest
from grids import at, grid
from rows import write_sweep

from scaling.storage.tables import write_part
from scaling.studies import noise_scale as study
from scaling.studies.noise_scale_figures import noise_scale_over_training, windows
from scaling.studies.sweep_tables import SweepTables

SCALES = {
    "noise_scale": 40.0, "noise_scale_low": 20.0, "noise_scale_high": 90.0,
    "noise_scale_percent": 2.0,
}  # fmt: skip


def measured(rows: pd.DataFrame, **scales: float) -> pd.DataFrame:
    return rows.assign(**SCALES | scales)


def probes(noise_scale: float, count: int = 40) -> pd.DataFrame:
    """Probes of normal gradients with |G| = 1 in two layers."""
    noise = np.random.default_rng(0).normal(size=(count, 32, 2, 10))
    gradients = noise * math.sqrt(noise_scale / 20) + math.sqrt(1 / 20)
    small, big = (gradients**2).sum(3).mean(1), (gradients.mean(1) ** 2).sum(2)
    return pd.DataFrame(
        {
            "step": np.repeat(np.arange(count) * 10, 2),
            "layer": ["first", "second"] * count,
            "small_batch": 1.0,
            "big_batch": 32.0,
            "small_norm_squared": small.ravel(),
            "big_norm_squared": big.ravel(),
            "unit": "examples",
        }
    )


def test_a_sweep_without_noise_scales_is_not_asked():
    assert not study.applies(SweepTables(grid()))
    assert not study.applies(SweepTables(measured(grid(), noise_scale_percent=math.nan)))
    assert study.applies(SweepTables(measured(grid())))


def test_a_sweep_whose_runs_all_diverged_is_not_asked():
    rows = measured(grid()).assign(status="diverged", val_loss=math.nan)
    assert not study.applies(SweepTables(rows))


def test_the_noise_scale_of_each_batch_is_that_at_its_best_lr_over_seeds():
    rows = measured(grid(batches=(16, 64)))
    best = at(rows, batch=64, lr=1e-3)
    rows.loc[best & (rows["seed"] == 0), ["noise_scale", "noise_scale_low"]] = [60.0, 15.0]
    rows.loc[best & (rows["seed"] == 1), "noise_scale_high"] = 200.0
    first, second = study.sentences(SweepTables(rows))
    assert "40 (20 to 90) at batch 16; 50 (15 to 200) at batch 64" in first
    assert "not the critical batch size" in first
    assert "nothing to compare" in second
    table = study.tables(SweepTables(rows))["noise_scales"].set_index("batch")
    assert table.loc[64, ["lr", "runs", "noise_scale"]].tolist() == [1e-3, 2, 50]


def test_a_seed_without_an_upper_bound_leaves_none():
    rows = measured(grid(batches=(16, 64)))
    some = at(rows, batch=16) & (rows["seed"] == 1)
    rows.loc[some, ["noise_scale", "noise_scale_high"]] = math.nan
    (first, _) = study.sentences(SweepTables(rows))
    assert "at least 20 at batch 16; 40 (20 to 90) at batch 64" in first


def test_a_noise_scale_that_is_not_identified_is_said_to_be_so():
    rows = measured(grid(batches=(16, 64)))
    names = ["noise_scale", "noise_scale_low", "noise_scale_high"]
    rows.loc[at(rows, batch=16), names] = math.nan
    first, _ = study.sentences(SweepTables(rows))
    assert "not identified at batch 16; 40 (20 to 90) at batch 64" in first
    assert study.applies(SweepTables(rows.drop(columns=names)))
    first, second = study.sentences(SweepTables(rows.drop(columns=names)))
    assert "not identified at batch 16, 64;" in first
    assert "no noise scale is identified, so there is nothing to compare" in second


def test_the_reason_why_it_is_not_identified_is_given_once_for_all_batch_sizes():
    rows = measured(grid(batches=(16, 64, 128))).assign(noise_scale_probes=42.0)
    rows.loc[at(rows, batch=128), "noise_scale_probes"] = 9.0
    rows = rows.drop(columns=["noise_scale", "noise_scale_low", "noise_scale_high"])
    first, _ = study.sentences(SweepTables(rows))
    assert (
        "not identified at batch 16, 64 (noise hides the gradient: the interval of |G|^2 reaches "
        "0, or nearly); not identified at batch 128 (9 probes; an interval needs at least 10)"
    ) in first
    (line,) = study.headlines(SweepTables(rows))
    assert line.endswith("at batch 128 (9 probes; an interval needs at least 10)")


def test_the_headline_has_the_unit_and_the_first_batch_sizes(tmp_path):
    folder = write_sweep(tmp_path / "sweep", measured={"val_loss": 2.0, **SCALES})
    for run in folder.iterdir():
        write_part(run / "probes", probes(40).assign(unit="tokens"), 0)
    assert study.headlines(SweepTables.of(folder)) == [
        "Noise scale B_simple: 40 tokens (20 to 90) at batch 8, 16"
    ]
    rows = measured(grid(batches=(8, 16, 32, 64, 128)))
    rows["noise_scale"] += rows["batch"]
    (line,) = study.headlines(SweepTables(rows))
    assert line == (
        "Noise scale B_simple: 48 (20 to 90) at batch 8; 56 (20 to 90) at batch 16; 72 (20 to 90) "
        "at batch 32; 2 more in report.txt"
    )


def test_the_headline_of_several_settings_is_a_range_and_then_a_line_for_each():
    rows = measured(grid(batches=(16, 64), clips=(0.5, 1.0)))
    rows["noise_scale"] += 10 * rows["clip"]
    some = at(rows, batch=16, clip=0.5)
    rows.loc[some, ["noise_scale", "noise_scale_low", "noise_scale_high"]] = math.nan
    first, *lines = study.headlines(SweepTables(rows))
    assert first == (
        "Noise scale B_simple: 45 to 50, identified at 3 of 4 batch sizes in 2 settings"
    )
    assert lines == [
        "  clip=0.5: not identified at batch 16; 45 (20 to 90) at batch 64",
        "  clip=1: 50 (20 to 90) at batch 16, 64",
    ]


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ((100.0, 50.0, 300.0), "(50 to 300) overlaps that of every noise scale"),
        ((1000.0, 500.0, math.inf), "(500 to any) overlaps that of no noise scale"),
        ((120.0, 100.0, 150.0), "(100 to 150) overlaps that of the noise scale at batch 64 only"),
        ((100.0, 0.0, math.inf), "has no bound, so nothing can be said"),
    ],
)
def test_intervals_that_meet_are_named(turn, words):
    table = pd.DataFrame({"batch": [16, 64], "noise_scale_low": [20, 80]})
    table = table.assign(turn=turn[0], turn_low=turn[1], turn_high=turn[2])
    high = pd.Series([90.0, 200.0])
    meets = (table["noise_scale_low"] <= turn[2]) & (turn[1] <= high)
    assert words in study._meeting("", table.assign(meets=meets))


def test_the_turn_of_a_measured_law_is_beside_the_noise_scales():
    rows = grid(batches=(4, 8, 16, 32, 64, 128, 256, 512), seeds=3)
    best = 6e-3 / (1 + 64 / rows["batch"])  # it bends at batch 64
    noise = np.random.default_rng(0).normal(0, 0.02, len(rows))
    rows["val_loss"] = 2.2 + np.log(rows["lr"] / best) ** 2 / 16 + noise
    near, far = measured(rows), measured(rows, noise_scale_low=5e3, noise_scale_high=9e3)
    table = study.tables(SweepTables(near))["noise_scales"]
    assert len(table) == 8
    assert ((table["turn_low"] < 64) & (table["turn_high"] > 64)).all()
    assert table["meets"].all()
    _, sentence = study.sentences(SweepTables(near))
    assert sentence.startswith(
        "Noise scale and learning rate: the interval of the turn B_n of the law ("
    )
    assert sentence.endswith(") overlaps that of every noise scale")
    _, sentence = study.sentences(SweepTables(far))
    assert sentence.endswith(") overlaps that of no noise scale")


def test_a_run_has_a_point_for_each_window_of_at_least_ten_probes():
    table = probes(40)
    got = windows(table)
    assert got["step"].tolist() == [45, 95, 145, 195, 245, 295, 345]
    assert got["identified"].all()
    assert ((got["low"] < 40) & (got["high"] > 40)).sum() >= 6
    assert windows(table[table["step"] < 90]).empty


def test_the_figure_has_a_line_for_each_batch(tmp_path):
    folder = write_sweep(tmp_path / "sweep", measured={"val_loss": 2.0, **SCALES})
    for run in folder.iterdir():
        write_part(run / "probes", probes(40), 0)
    sweep = SweepTables.of(folder)
    (drawing,) = study.figures(sweep).values()
    figure = drawing.draw()
    figure.savefig(tmp_path / "figure.png")
    (axes,) = figure.axes
    assert [c.get_label() for c in axes.containers] == ["8 (lr 1e-4)", "16 (lr 1e-4)"]
    assert axes.get_ylabel() == "noise scale (examples)"
    few = noise_scale_over_training(sweep.rows, sweep.probes[sweep.probes["step"] < 50])
    assert "too few probes" in few.axes[0].texts[0].get_text()
