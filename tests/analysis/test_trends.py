"""Trends over folds: a published table, closed forms, slow references, folds that stop."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from folds import leaving
from rows import published
from scipy import stats

from scaling.analysis.intervals import weighted_t_interval
from scaling.analysis.trends import first_below, fold_trend

DRAWS = 200


def table(**folds: dict[int, float]) -> pd.DataFrame:
    lines = [(fold, step, norm) for fold, own in folds.items() for step, norm in own.items()]
    return pd.DataFrame(lines, columns=["fold", "step", "gradient_norm"])


def test_the_published_table_cannot_tell():
    found = fold_trend(published("ttt_gradient_norm"))
    assert found.survivors_change == pytest.approx(-4.09, abs=0.005)
    assert found.completers_change == pytest.approx(8.03, abs=0.005)
    assert found.riskset_change == pytest.approx(-1.1, abs=0.05)
    assert found.at_risk.to_dict() == {0: 5, 10: 5, 20: 5, 30: 4, 40: 4, 49: 4}
    assert found.conflict
    assert -100 < found.low < 0 < found.high < 100
    assert (found.verdict, found.reason != "") == ("inconclusive", True)
    assert found.folds["end"].to_dict() == {1: 49, 2: 49, 3: 49, 4: 49, 5: 20}


def test_norms_that_grow_by_one_factor_have_that_change_whichever_folds_stop():
    rates = {"a": (3.0, 41), "b": (1.0, 41), "c": (0.2, 11)}
    lines = {
        fold: {step: level * math.exp(0.01 * step) for step in range(end)}
        for fold, (level, end) in rates.items()
    }
    found = fold_trend(table(**lines))
    truth = 100 * math.expm1(0.4)
    for value in (found.change, found.low, found.high, found.completers_change):
        assert value == pytest.approx(truth)
    assert found.folds["slope"].to_list() == pytest.approx([0.01] * 3)
    assert found.folds["weight"].to_list() == pytest.approx(np.array([16, 16, 1]) / 33)
    assert found.survivors_change > truth  # the lowest left
    assert (found.verdict, found.reason) == ("rises", "")


def test_if_no_fold_stops_all_changes_are_equal():
    found = fold_trend(leaving(np.random.default_rng(0), folds=4, leave=0))
    assert found.completers_change == pytest.approx(found.survivors_change)
    assert found.riskset_change == pytest.approx(found.survivors_change)
    assert not found.conflict
    curve = found.curve
    assert (curve["at_risk"] == 4).all()
    np.testing.assert_allclose(curve["riskset"], curve["survivors"])


def test_constant_folds_are_no_conflict():
    found = fold_trend(table(a={0: 0.1, 1: 0.1, 2: 0.1}, b={0: 0.3, 1: 0.3}))
    assert found.survivors_change == pytest.approx(-50)
    assert (found.change, found.low, found.high) == (0, 0, 0)
    assert found.conflict  # the mean halves, no fold moves
    same = fold_trend(table(a={0: 0.1, 1: 0.1, 2: 0.1}, b={0: 0.1, 1: 0.1}))
    assert not same.conflict


def slow_slope(norms: dict[int, float]) -> float:
    """The median of the slopes through all pairs."""
    pairs = combinations(sorted(norms), 2)
    return float(np.median([math.log(norms[b] / norms[a]) / (b - a) for a, b in pairs]))


def test_all_numbers_equal_their_slow_references():
    rows = leaving(np.random.default_rng(1), folds=6, leave=2, log_change=0.3)
    norms = {
        fold: dict(zip(own["step"], own["gradient_norm"], strict=True))
        for fold, own in rows.groupby("fold")
    }
    found = fold_trend(rows.sample(frac=1, random_state=0), level=0.9)
    slopes = [slow_slope(own) for own in norms.values()]
    assert found.folds["slope"].to_list() == pytest.approx(slopes)
    squares = [float(max(own)) ** 2 for own in norms.values()]
    interval = weighted_t_interval(49 * np.array(slopes), np.array(squares), level=0.9)
    ends = [100 * (math.exp(x) - 1) for x in (interval.value, interval.low, interval.high)]
    assert [found.change, found.low, found.high] == pytest.approx(ends)

    def mean(step: int, folds: list) -> float:
        return sum(norms[fold][step] for fold in folds) / len(folds)

    stayed = [fold for fold in norms if 49 in norms[fold]]
    assert found.survivors_change == pytest.approx(100 * mean(49, stayed) / mean(0, [*norms]) - 100)
    assert found.completers_change == pytest.approx(100 * mean(49, stayed) / mean(0, stayed) - 100)
    level = mean(0, [*norms])
    for step in range(1, 50):
        present = [fold for fold in norms if step in norms[fold]]
        level += mean(step, present) - mean(step - 1, present)
        assert found.curve["riskset"][step] == pytest.approx(level)
        assert found.at_risk[step] == len(present)
    assert found.riskset_change == pytest.approx(100 * level / mean(0, [*norms]) - 100)


def test_a_step_that_one_fold_lacks_does_not_change_what_is_straight():
    a, b = {0: 1.0, 10: 2.0, 20: 3.0}, {0: 2.0, 10: 2.5, 20: 3.0}
    whole, gap = fold_trend(table(a=a, b=b)), fold_trend(table(a={0: 1.0, 20: 3.0}, b=b))
    pd.testing.assert_frame_equal(whole.curve, gap.curve)
    assert whole.riskset_change == gap.riskset_change
    odd = fold_trend(table(a=a, b={0: 2.0, 15: 2.75}))
    assert odd.at_risk.to_dict() == {0: 2, 10: 2, 15: 2, 20: 1}


def test_a_fold_with_one_step_counts_as_there_and_has_no_slope():
    rows = leaving(np.random.default_rng(2), folds=4, leave=0)
    one = table(early={0: 5.0})
    with_it, without = fold_trend(pd.concat([rows, one])), fold_trend(rows)
    assert math.isnan(with_it.folds["slope"]["early"])
    assert with_it.folds["weight"]["early"] == 0
    assert (with_it.low, with_it.high) == (without.low, without.high)
    assert with_it.at_risk.iloc[0] == 5
    assert with_it.survivors_change < without.survivors_change


def test_no_interval_is_infinite_however_noisy_the_norms():
    found = fold_trend(table(a={0: 1e-30, 1: 1e30}, b={0: 1e30, 1: 1e-30}))
    assert math.isfinite(found.high)
    assert found.low == -100


def excluded(folds: int, leave: int, log_change: float) -> tuple[int, int]:
    """How many of 200 draws exclude zero: by the interval, and by Mann-Kendall on the mean."""
    interval = kendall = 0
    for draw in range(DRAWS):
        rng = np.random.default_rng([folds, leave, draw])
        rows = leaving(rng, folds=folds, leave=leave, log_change=log_change)
        found = fold_trend(rows)
        assert math.isfinite(found.high - found.low)
        assert (found.verdict == "inconclusive") == (found.low <= 0 <= found.high)
        interval += found.verdict != "inconclusive"
        means = rows.groupby("step")["gradient_norm"].mean()
        kendall += stats.kendalltau(means.index, means).pvalue < 0.05
    return interval, kendall


@pytest.mark.parametrize(("folds", "leave"), [(10, 3), (5, 1)])
def test_folds_that_stop_raise_no_alarm_and_mann_kendall_on_their_mean_does(folds, leave):
    interval, kendall = excluded(folds, leave, 0.0)
    assert interval <= 0.10 * DRAWS
    assert kendall > 0.5 * DRAWS


def test_a_trend_within_the_folds_is_found():
    interval, _ = excluded(10, 3, 0.4)
    assert interval >= 0.6 * DRAWS


def test_the_change_is_that_of_the_folds_and_not_of_those_that_stopped():
    drawn = [
        fold_trend(leaving(np.random.default_rng(draw), folds=10, leave=3, log_change=0.4))
        for draw in range(60)
    ]
    changes = np.log1p(np.array([found.change for found in drawn]) / 100)
    assert changes.mean() == pytest.approx(0.4, abs=4 * changes.std() / math.sqrt(60))
    naive = np.log1p(np.array([found.survivors_change for found in drawn]) / 100)
    assert naive.mean() < 0.2


def test_norms_that_explode_at_some_steps_hardly_widen_the_interval():
    drawn = []
    for spikes in (0.0, 0.02):
        tables = [
            leaving(np.random.default_rng(draw), folds=5, leave=1, spikes=spikes)
            for draw in range(40)
        ]
        found = [fold_trend(rows) for rows in tables]
        drawn.append(np.median([one.high - one.low for one in found]))
    assert drawn[1] < 1.25 * drawn[0]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({"a": {0: 1.0, 1: 1.0}}, "1 fold with two steps"),
        ({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0}}, "1 fold with two steps"),
        ({}, "is empty"),
        ({"a": {0: 1.0, 1: 1.0}, "b": {1: 1.0, 2: 1.0}}, "start at the same step"),
        ({"a": {0: 1.0, 1: math.nan}, "b": {0: 1.0, 1: 1.0}}, "gradient_norm=nan of fold a at"),
        ({"a": {0: 1.0, 1: 1.0}, "b": {0: math.inf, 1: 1.0}}, "gradient_norm=inf of fold b at"),
        ({"a": {0: 0.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}}, "gradient_norm=0.0 .* positive"),
        ({"a": {0: 1.0, math.nan: 1.0}, "b": {0: 1.0, 1: 1.0}}, "a finite step"),
    ],
)
def test_a_table_without_a_trend_is_refused(folds, message):
    with pytest.raises(ValueError, match=message):
        fold_trend(table(**folds))


def test_missing_columns_two_norms_at_once_and_impossible_levels_are_refused():
    rows = table(a={0: 1.0, 1: 1.0}, b={0: 1.0, 1: 1.0})
    with pytest.raises(ValueError, match="no column fold, gradient_norm"):
        fold_trend(rows[["step"]])
    with pytest.raises(ValueError, match="fold b has two norms at step 1; give one run per fold"):
        fold_trend(pd.concat([rows, rows.tail(1)]))
    with pytest.raises(ValueError, match="level=95.0 must lie between 0 and 1"):
        fold_trend(rows, level=95.0)


def test_the_first_step_below_a_threshold_or_that_it_takes_longer():
    rows = table(a={0: 4e-4, 1: 9e-5, 2: 3e-4}, b={0: 5e-4, 5: 1e-4}, c={3: 5e-5})
    found = first_below(rows, 1e-4)
    assert found["step"].to_dict() == {"a": 1, "b": 5, "c": 3}
    assert found["reached"].to_dict() == {"a": True, "b": False, "c": True}
    assert found["distance"].to_list() == pytest.approx([3.0, 1.0, 0.5])
    with pytest.raises(ValueError, match="threshold=0.0 must be positive"):
        first_below(rows, 0.0)
