"""When a loss is reached: closed forms, a slow reference, and the target of all batch sizes."""

import math

import numpy as np
import pandas as pd
import pytest
from races import CRITICAL, curve, exponential, race
from rates import within

from scaling.analysis.critical_batch import tradeoff
from scaling.analysis.steps_to_loss import arrivals, steps_to_loss


def test_a_line_reaches_its_target_where_it_does():
    (found,) = steps_to_loss(curve(4 - 0.1 * np.arange(40)), 1.95)
    assert found.steps == pytest.approx(20.5)
    assert found.reached
    assert found.exact
    assert math.isnan(found.examples)


def slow_levels(losses: np.ndarray) -> list[float]:
    """Isotonic regression by its min-max formula, for losses that fall."""
    return [
        min(max(losses[a : b + 1].mean() for b in range(i, len(losses))) for a in range(i + 1))
        for i in range(len(losses))
    ]


def test_steps_are_those_of_the_slow_fit_that_never_rises():
    losses = 4 * np.exp(-np.arange(60) / 30) + 0.3 * np.random.default_rng(0).normal(size=60)
    levels = np.array(slow_levels(losses))
    for target in (3.0, 2.0, 1.2):
        (found,) = steps_to_loss(curve(losses), target)
        above = np.flatnonzero(np.isclose(levels, levels[levels > target].min())).mean()
        below = np.flatnonzero(np.isclose(levels, levels[levels <= target].max())).mean()
        high, low = levels[round(above)], levels[round(below)]
        assert found.steps == pytest.approx(
            above + (high - target) / (high - low) * (below - above)
        )
        excess = np.cumsum(losses - target)  # largest where the fit comes down to the target
        assert above <= excess.argmax() + 0.5 <= below


def test_noise_does_not_make_a_run_early_unlike_a_first_crossing():
    draws, true = np.random.default_rng(0), 80 * math.log(2)  # steps to half of the fall
    noisy = [exponential("a", 2.0, 80.0)["train_loss"] for _ in range(200)]
    noisy = [losses + 0.2 * draws.normal(size=200) for losses in noisy]
    found = np.array([steps_to_loss(curve(losses), 3.0)[0].steps for losses in noisy])
    first = np.array([int((losses <= 3.0).argmax()) for losses in noisy])
    assert found.mean() == pytest.approx(true, abs=4 * found.std() / math.sqrt(200))
    assert first.mean() < true - 10


def test_a_run_that_never_arrives_takes_longer_than_it_lasted():
    (found,) = steps_to_loss(curve(np.full(30, 3.0), batch=16), 2.0)
    assert (found.steps, found.examples) == (29.0, 464.0)
    assert not found.reached
    (lost,) = steps_to_loss(curve([3.0, 1.0, math.nan]), 2.0)
    assert (lost.steps, lost.reached) == (2.0, False)
    (none,) = steps_to_loss(curve([math.nan, math.nan]), 2.0)
    assert (none.steps, none.reached) == (1.0, False)


def test_a_run_that_leaves_its_target_again_has_not_reached_it():
    (found,) = steps_to_loss(curve(np.r_[np.full(50, 3.0), np.full(50, 1.0), np.full(5, 2.5)]), 2.0)
    assert not found.reached
    (lucky,) = steps_to_loss(curve(np.r_[np.full(99, 3.0), 1.0]), 2.0)
    assert not lucky.reached


def test_a_run_that_starts_below_its_target_took_at_most_as_long():
    for losses in ([1.5, 1.0], [math.nan, 1.5]):
        (found,) = steps_to_loss(curve(losses), 2.0)
        assert found.reached
        assert not found.exact


def test_validation_losses_are_used_if_there_are_any():
    table = curve([9.0, 9.0], val_loss=[3.0, 1.0]).assign(step=[100, 200])
    (found,) = steps_to_loss(table, 2.5)
    assert found.steps == 125.0


def test_lines_may_come_in_any_order():
    table = curve(4 - 0.1 * np.arange(40), batch=8)
    assert steps_to_loss(table.sample(frac=1, random_state=0), 1.95) == steps_to_loss(table, 1.95)


def test_examples_are_steps_times_the_batch_of_the_table_or_of_a_mapping():
    table = pd.concat([curve([3.0, 1.0], run="b"), curve([3.0, 1.0])])
    found = steps_to_loss(table, 2.0, batch={"a": 16})
    assert [(one.run, one.examples) for one in found[:1]] == [("a", 8.0)]
    assert math.isnan(found[1].examples)
    assert steps_to_loss(table.assign(batch=32), 2.0)[0].examples == 16.0


def test_what_has_no_loss_is_refused_by_name():
    with pytest.raises(ValueError, match="no column train_loss"):
        steps_to_loss(curve([1.0]).drop(columns="train_loss"), 1.0)


def halfway(losses: pd.DataFrame) -> dict[str, float]:
    return {run: own["train_loss"].iloc[99] for run, own in losses.groupby("run")}


def test_the_target_is_the_lowest_that_the_worst_seed_of_every_batch_size_reaches_halfway():
    rows, losses = race()
    found, at = arrivals(rows, losses), halfway(losses)
    worst = {
        batch: min(max(at[f"{batch} {lr} {seed}"] for seed in range(3)) for lr in (1e-3, 1e-2, 0.1))
        for batch in (8, 16, 32, 64)
    }
    assert found.target == worst[8] == max(worst.values())
    assert found.loss == "train_loss"
    best = found.points[found.points["lr"] == 1e-2]
    assert len(best) == 12
    assert best["reached"].all()
    assert best["steps"].max() == 99


def test_every_run_arrives_when_it_does_alone():
    rows, losses = race(jitter=0.2)
    found = arrivals(rows, losses)
    alone = pd.DataFrame(steps_to_loss(losses, found.target)).set_index("run")
    for point in found.points.itertuples():
        one = alone.loc[f"{point.batch} {point.lr} {point.seed}"]
        assert (point.steps, point.reached) == (one["steps"], one["reached"])


def test_validation_losses_set_the_target_where_the_table_has_them():
    rows, losses = race()
    every = losses[losses["step"] % 20 == 19].rename(columns={"train_loss": "val_loss"})
    found = arrivals(rows, every)
    assert found.loss == "val_loss"
    middle = every[every["run"].str.startswith("8 0.01 ") & (every["step"] == 99)]
    assert found.target == middle["val_loss"].max()


def test_an_lr_at_which_a_seed_diverged_or_is_missing_sets_no_target():
    rows, losses = race()
    whole = arrivals(rows, losses).target
    rows.loc[rows["run"] == "8 0.01 0", "status"] = "diverged"
    one = arrivals(rows, losses).target  # of the next lr of batch 8
    assert one > whole
    rows.loc[rows["run"] == "8 0.01 0", "status"] = "failed"
    assert arrivals(rows, losses).target == one
    rows.loc[rows["batch"] == 8, "status"] = "diverged"
    rest = rows[rows["batch"] > 8]
    assert arrivals(rows, losses).target == arrivals(rest, losses).target
    assert math.isnan(arrivals(rows[rows["batch"] == 8], losses).target)


def test_runs_that_diverged_did_not_arrive():
    rows, losses = race()
    rows.loc[rows["run"] == "64 0.01 0", "status"] = "diverged"
    points = arrivals(rows, losses).points.query("batch == 64 and lr == 0.01")
    assert points.sort_values("seed")["reached"].tolist() == [False, True, True]


def test_rows_without_losses_are_left_out():
    rows, losses = race()
    few = arrivals(rows, losses[~losses["run"].str.startswith("8 ")])
    assert set(few.points["batch"]) == {16, 32, 64}
    for none in (arrivals(rows, losses.iloc[:0]), arrivals(rows.iloc[:0], losses)):
        assert none.points.empty
        assert math.isnan(none.target)
        assert not tradeoff(none.points).identified


def test_two_runs_of_one_cell_are_refused():
    rows, losses = race()
    with pytest.raises(ValueError, match="two runs share batch, lr and seed"):
        arrivals(pd.concat([rows, rows.assign(study="t")]), losses)
    with pytest.raises(ValueError, match="no column seed"):
        arrivals(rows.drop(columns="seed"), losses)


def test_from_noisy_losses_to_a_critical_batch_that_its_interval_holds():
    found = []
    for draw in range(40):
        rows, losses = race(draw=draw, jitter=0.05, noise=0.5, batches=(4, 8, 16, 32, 64))
        found.append(tradeoff(arrivals(rows, losses).points))
    kept = [one.critical_batch for one in found if one.identified]
    assert len(kept) >= 36
    assert within(sum(one.low <= CRITICAL <= one.high for one in kept), len(kept), 0.95)
    assert np.median([one.value for one in kept]) == pytest.approx(CRITICAL, rel=0.05)
