"""Regimes of clipping: closed forms, slow references, known distributions, own runs."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling import results
from scaling.analysis.clipping_regimes import clip_regimes, drift, explain, update_response, within

KEPT = Path(__file__).parents[2] / "notebooks" / "data" / "clip_sgd_adam.csv"


def row(**columns) -> dict:
    row = {"study": "s", "optimizer": "adamw", "batch": 32, "lr": 1e-3, "clip": 1.0, "seed": 0}
    row |= {"status": "done", "clip_percent": 100.0, "clip_coefficient_cv": 0.3, "update_norm": 0.5}
    row |= columns
    return {"run": f"clip={row['clip']},seed={row['seed']}"} | row


def rows(*records: dict) -> pd.DataFrame:
    return pd.DataFrame([row(**record) for record in records])


def steps(coefficient, run: str = "clip=1.0,seed=0", **columns) -> pd.DataFrame:
    table = pd.DataFrame({"clip_coefficient": coefficient})
    table = table.assign(study="s", run=run, step=range(len(table)), skipped=False, update_norm=0.5)
    return table.assign(clipped=table["clip_coefficient"] < 1).assign(**columns)


def regime(*records: dict, **keywords):
    (found,) = clip_regimes(rows(*records), **keywords)
    return found


def test_a_constant_has_no_drift_not_even_by_chance():
    assert drift(np.full(100, 0.37), 20) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("fall", [30, 400, 5_000])
def test_norms_that_fall_by_e_in_so_many_steps_drift_by_window_over_that(fall):
    norms = 50 * np.exp(-np.arange(200) / fall)
    drifted, chance = drift(1 / norms, 20)
    assert drifted == pytest.approx(20 / fall)
    assert chance < 0.2 * drifted  # a smooth decay is not taken for noise


def test_drift_is_what_a_loop_over_windows_finds():
    series = np.exp(np.random.default_rng(0).normal(size=137).cumsum() / 9)
    means = [sum(series[start : start + 10]) / 10 for start in range(0, 130, 10)]
    ratios = [abs(math.log(after / before)) for before, after in pairwise(means)]
    assert drift(series, 10)[0] == pytest.approx(sum(ratios) / len(ratios))


@pytest.mark.parametrize(("spread", "window"), [(0.1, 20), (0.5, 20), (1.0, 20), (0.3, 1)])
def test_independent_log_normal_steps_drift_as_far_as_chance_says(spread, window):
    series = np.exp(np.random.default_rng(1).normal(scale=spread, size=(400, 400)))
    found = np.array([drift(one, window) for one in series]).mean(axis=0)
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_a_shuffled_series_varies_as_before_and_drifts_no_more_than_by_chance():
    draws = np.random.default_rng(2)
    series = np.exp(-np.arange(400) / 200 + 0.1 * draws.normal(size=400))
    shuffled = np.array([draws.permutation(series) for _ in range(200)])
    found = np.array([drift(one, 20) for one in shuffled])
    assert drift(series, 20)[0] > 2 * drift(series, 20)[1]
    assert found[:, 0].mean() == pytest.approx(found[:, 1].mean(), rel=0.1)
    assert shuffled[0].std() / shuffled[0].mean() == pytest.approx(series.std() / series.mean())


def test_fewer_than_two_windows_have_no_drift():
    assert all(math.isnan(number) for number in drift(np.ones(39), 20))


@pytest.mark.parametrize(
    ("clip", "percent", "name"),
    [
        *((math.inf, math.nan, "free"), (math.nan, 0.0, "free"), (1.0, 0.99, "free")),
        *((1.0, 1.0, "transition"), (1.0, 98.9, "transition")),
        *((1.0, 99.0, "saturated"), (1.0, math.nan, "unknown")),
    ],
)
def test_a_regime_is_the_share_of_clipped_steps(clip, percent, name):
    found = regime({"clip": clip, "clip_percent": percent})
    assert found.regime == name
    assert math.isnan(found.drift)


def test_seeds_weigh_equally_however_many_runs_they_have():
    twice = {"seed": 0, "clip_percent": 100.0}
    found = regime(twice, twice | {"study": "t"}, {"seed": 1, "clip_percent": 94.0})
    assert (found.clip_percent, found.seeds, found.regime) == (97.0, 2, "transition")


def test_runs_that_are_not_done_count_only_if_none_is_done():
    diverged = {"seed": 1, "status": "diverged", "clip_percent": 0.0}
    assert regime({}, diverged).clip_percent == 100.0
    assert regime({"status": "failed"}, diverged).regime == "free"
    assert regime({"status": "failed"}).regime == "unknown"
    assert clip_regimes(rows({"status": "corrupt", "batch": math.nan})) == ()


def test_cells_are_kept_apart_and_ordered():
    other = [{"clip": 0.1}, {"lr": 0.1}, {"batch": 64}, {"optimizer": "sgd"}, {"clip": math.inf}]
    cells = [found.cell for found in clip_regimes(rows({}, *other))]
    assert len(cells) == 6
    assert cells == sorted(cells)


def test_steps_agree_with_the_row_and_add_the_drift():
    series = np.exp(-np.arange(100) / 50)
    found = regime({"clip_percent": math.nan}, steps=steps(series, update_norm=2.0))
    assert found.clip_percent == 99.0  # the first coefficient is 1
    assert found.clip_coefficient_cv == pytest.approx(series.std() / series.mean())
    assert (found.drift, found.window) == (pytest.approx(20 / 50), 20)
    assert found.update_norm == 2.0


def test_steps_of_a_constant_coefficient_neither_vary_nor_drift():
    found = regime({}, steps=steps(np.full(100, 0.25)))
    assert (found.clip_coefficient_cv, found.drift) == pytest.approx((0, 0), abs=1e-12)


def test_the_window_is_the_memory_of_the_second_moment():
    table = steps(np.exp(-np.arange(3_000) / 9_000.0))
    found = regime({}, steps=table, beta2=0.999)
    assert (found.window, found.drift) == (1_000, pytest.approx(1 / 9))
    assert math.isnan(regime({}, steps=table[:1_999], beta2=0.999).drift)


def test_skipped_steps_are_not_counted():
    series = np.exp(-np.arange(80) / 50)
    table = steps(np.insert(series, [10, 30], math.nan), clipped=True)
    table["skipped"] = table["clip_coefficient"].isna()
    table.loc[table["skipped"], ["clipped", "update_norm"]] = False, 0.0
    found = regime({}, steps=table)
    assert (found.clip_percent, found.update_norm) == (100.0, 0.5)
    assert found.drift == pytest.approx(20 / 50)


def test_steps_of_other_runs_and_skipped_ones_alone_leave_the_row_as_it_is():
    for table in (steps(np.ones(50), run="another"), steps(np.ones(50), skipped=True)):
        found = regime({}, steps=table)
        assert (found.clip_percent, found.clip_coefficient_cv) == (100.0, 0.3)
        assert math.isnan(found.drift)


def test_what_cannot_be_read_is_refused_by_name():
    with pytest.raises(ValueError, match="no column clip_percent"):
        clip_regimes(rows({}).drop(columns="clip_percent"))
    with pytest.raises(ValueError, match="no column skipped"):
        clip_regimes(rows({}), steps(np.ones(50)).drop(columns="skipped"))
    with pytest.raises(ValueError, match="beta2=1.0 must be"):
        clip_regimes(rows({}), beta2=1.0)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "cancels, so clip / norm is not a learning rate"),
        ({}, "varies by 30 % of its mean and its drift per 20 steps is not measured"),
        (
            {"optimizer": "sgd", "lr": 0.3, "clip": 0.01},
            "clipped steps have length lr x clip = 0.003,",
        ),
        ({"optimizer": "sgd", "clip_percent": 40.0}, "transition, clipped in 40 % of the steps"),
        ({"optimizer": "lion"}, "under lion is not known here"),
        ({"clip_percent": 0.5}, "free, clipped in 0.5 % of the steps, almost the same as no"),
        ({"clip": math.inf}, "clip inf: not clipped; the mean update is 0.5."),
        ({"status": "failed"}, "no finished run has measured"),
    ],
)
def test_the_sentence_on_a_cell(record, said):
    assert said in explain(regime(record))


def test_the_sentence_carries_the_drift_that_was_measured():
    said = explain(regime({}, steps=steps(0.5 * np.exp(-np.arange(100) / 50))))
    assert "drifts by 0.4 in log per 20 steps (0.0036 by chance)" in said


def answers(slope: float, noise: float = 0.0, seed: int = 0, seeds: int = 4) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    records = []
    for number in range(seeds):
        own = slope + noise * draws.normal()
        for clip in (0.01, 0.03, 0.1):
            records.append({"seed": number, "clip": clip, "update_norm": 7 * clip**own})
    return rows(*records, {"clip": math.inf, "update_norm": 9.0, "clip_percent": 0.0})


@pytest.mark.parametrize("slope", [0.0, 0.4, 1.0])
def test_the_slope_of_a_power_law_is_its_exponent(slope):
    (found,) = update_response(answers(slope))
    assert found.identified
    assert (found.slope, found.low, found.high) == pytest.approx((slope,) * 3, abs=1e-9)


def test_the_slope_is_the_mean_of_lines_fitted_one_seed_at_a_time():
    table = answers(0.5, noise=0.1)
    table["update_norm"] *= np.random.default_rng(3).uniform(0.9, 1.1, len(table))
    slopes = []
    for _, seed in table[table["clip"] < math.inf].groupby("seed"):
        slopes.append(np.polyfit(np.log(seed["clip"]), np.log(seed["update_norm"]), 1)[0])
    (found,) = update_response(table)
    assert found.slope == pytest.approx(np.mean(slopes))
    ends = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_the_interval_of_the_slope_covers_at_its_rate():
    found = [update_response(answers(0.5, noise=0.1, seed=draw))[0] for draw in range(60)]
    least, most = stats.binom.interval(0.99, 60, 0.95)
    assert least <= sum(one.low <= 0.5 <= one.high for one in found) <= most


def test_clip_is_a_learning_rate_under_sgd_and_nothing_under_adamw():
    adamw, sgd = update_response(results.read(KEPT))
    assert (adamw.optimizer, sgd.optimizer) == ("adamw", "sgd")
    assert adamw.low <= 0 <= adamw.high
    assert abs(adamw.slope) < 0.01
    assert sgd.low <= 1 <= sgd.high
    assert abs(sgd.slope - 1) < 0.001


def test_one_clip_or_two_seeds_have_no_slope():
    (one,) = update_response(rows({}, {"seed": 1}, {"seed": 2}))
    (two,) = update_response(answers(1.0, seeds=2))
    assert (one.reason, two.reason) == (
        "1 saturated clips; a slope needs 2",
        "2 seeds at all of 3 saturated clips; an interval needs 3",
    )
    assert not one.identified
    assert math.isnan(one.slope)
    assert math.isnan(two.slope)


def test_without_saturated_runs_there_is_no_slope():
    (found,) = update_response(rows({"clip": math.inf}, {"clip_percent": 50.0}))
    assert found.reason == "0 saturated clips; a slope needs 2"


def test_rows_are_kept_apart_by_regime():
    table = results.read(KEPT)
    parts = within(table, clip_regimes(table))
    assert {name: len(part) for name, part in parts.items()} == {
        "free": 6,
        "saturated": 24,
        "transition": 6,
    }
    assert list(parts["free"].columns) == list(table.columns)
    assert set(parts["free"]["clip"]) == {math.inf}
    assert sorted(index for part in parts.values() for index in part.index) == list(table.index)


def test_a_row_without_a_regime_is_refused():
    with pytest.raises(ValueError, match="no regime for"):
        within(rows({}, {"lr": 0.1}), clip_regimes(rows({})))
