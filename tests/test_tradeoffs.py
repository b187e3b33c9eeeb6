"""Sensitivity and the step-examples hyperbola: closed forms, slow twins, planted parameters."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from scaling.tradeoffs import sensitivity, steps_to_loss, tradeoff

LRS = [1e-3 * 2.0**power for power in range(-4, 5)]
BATCHES = [16, 32, 64, 128, 256]
LEAST, MOST = stats.binom.interval(0.99, 60, 0.95)


def sweep(loss, *, lrs=LRS, seeds=4, **columns) -> pd.DataFrame:
    records = [
        {"batch": 32, "lr": lr, "clip": 1.0, "seed": seed, "val_loss": loss(lr, seed)}
        for lr in lrs
        for seed in range(seeds)
    ]
    return pd.DataFrame(records).assign(status="done", uniform_loss=5.0, **columns)


def bowl(lr: float, seed: int = 0) -> float:
    return 2 + 0.1 * seed + 0.3 * math.log(lr / 1e-3) ** 2


def noisy(draw: int, noise: float):
    draws = np.random.default_rng(draw)
    return lambda lr, seed: bowl(lr, seed) + noise * draws.normal()


@pytest.mark.parametrize("knots", [1, 2, 3])
def test_a_quadratic_bowl_costs_what_its_chords_do(knots):
    (found,) = sensitivity(sweep(bowl), factors=(2.0**knots,))
    mean = 0.3 * math.log(2) ** 2 * (2 * knots**2 + 1) / 6  # of chords through z^2 at the integers
    assert (found.lost, found.low, found.high) == pytest.approx((mean,) * 3)
    assert (found.best, found.covered, found.seeds) == (pytest.approx(1e-3), 1.0, 4)
    assert found.caveat == ""


@pytest.mark.parametrize("factor", [1.3, 3.0, 10.0])
def test_the_loss_lost_is_a_mean_over_a_fine_grid(factor):
    table = sweep(noisy(0, 0.1))
    (found,) = sensitivity(table, factors=(factor,))
    means = table.groupby("lr")["val_loss"].mean()
    best = means.idxmin()
    fine = math.log(best) + math.log(factor) * (np.arange(-4_999, 5_000, 2) / 5_000)  # midpoints
    losses = [np.interp(x, np.log(means.index), means) for x in fine]
    assert found.lost == pytest.approx(np.mean(losses) - means.min(), rel=1e-4)


def test_the_interval_is_a_t_interval_over_seeds():
    table = sweep(noisy(1, 0.05))
    (found,) = sensitivity(table, factors=(2.0,))
    each = []
    for seed in range(4):
        left, best, right = (
            table[(table["seed"] == seed) & (table["lr"] == lr)]["val_loss"].item()
            for lr in (0.5e-3, 1e-3, 2e-3)
        )
        each.append((left + best) / 4 + (best + right) / 4 - best)
    ends = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_the_interval_covers_at_its_rate():
    truth = 0.3 * math.log(2) ** 2 / 2
    found = [sensitivity(sweep(noisy(i, 0.02)), factors=(2.0,))[0] for i in range(60)]
    assert LEAST <= sum(one.low <= truth <= one.high for one in found) <= MOST


def test_nothing_is_extrapolated_beyond_the_grid():
    table = sweep(bowl, lrs=[1e-3, 2e-3, 4e-3])
    two, ten = sensitivity(table, factors=(2.0, 10.0))
    assert two.lost == pytest.approx(bowl(2e-3) / 2 + bowl(1e-3) / 2 - bowl(1e-3))
    assert (two.covered, ten.covered) == pytest.approx((0.5, math.log(4) / math.log(100)))
    assert two.caveat == "the best lr is the lowest one"
    falling = sensitivity(sweep(lambda lr, seed: -lr), factors=(2.0,))
    assert falling[0].caveat == "the best lr is the highest one"


def test_losses_count_as_the_ceiling_at_most_and_divergence_as_the_ceiling():
    table = sweep(lambda lr, seed: bowl(lr))
    table.loc[table["lr"] == 2e-3, ["status", "val_loss"]] = "diverged", math.nan
    table.loc[table["lr"] == 0.5e-3, "val_loss"] = 9.0
    (uniform,) = sensitivity(table, factors=(2.0,))
    (unigram,) = sensitivity(table, factors=(2.0,), ceiling=3.0)
    assert (uniform.lost, unigram.lost) == pytest.approx((1.5, 0.5))
    assert uniform.capped == 8
    assert uniform.caveat == "8 losses count as the ceiling"


def test_where_no_lr_ends_below_the_ceiling_nothing_is_known():
    (found,) = sensitivity(sweep(bowl), factors=(2.0,), ceiling=1.0)
    assert math.isnan(found.lost)
    assert "no lr ends below the ceiling" in found.caveat


def test_divergence_without_a_ceiling_is_refused():
    table = sweep(bowl).drop(columns="uniform_loss")
    assert sensitivity(table)[0].lost > 0
    table.loc[0, "status"] = "diverged"
    with pytest.raises(ValueError, match="ceiling=None"):
        sensitivity(table)


def test_one_lr_only_is_said():
    (found,) = sensitivity(sweep(bowl, lrs=[1e-3]), factors=(2.0,))
    assert (found.covered, found.caveat) == (0.0, "the best lr is the only one")
    assert math.isnan(found.lost)


def test_seeds_that_lack_an_lr_are_left_out_and_fewer_than_three_have_no_interval():
    table = sweep(bowl)
    whole = sensitivity(table[table["seed"] > 0], factors=(2.0,))
    table.loc[0, "status"] = "failed"
    assert sensitivity(table, factors=(2.0,)) == whole
    table.loc[1, "status"] = "failed"
    (found,) = sensitivity(table, factors=(2.0,))
    assert found.caveat == "2 seeds with a loss at every lr; an interval needs 3"
    assert found.lost == pytest.approx(whole[0].lost)
    assert math.isnan(found.low)
    (none,) = sensitivity(table.assign(status="failed"), factors=(2.0,))
    assert (none.seeds, none.covered) == (0, 0.0)
    assert math.isnan(none.lost)


def test_each_batch_clip_and_factor_is_told_apart():
    table = pd.concat([sweep(bowl), sweep(bowl, batch=64), sweep(bowl, clip=math.nan)])
    found = sensitivity(table)
    assert [(one.batch, one.clip) for one in found[::3]] == [(32, 1), (32, math.inf), (64, 1)]
    assert [one.factor for one in found[:3]] == [2.0, 3.0, 10.0]


def test_what_has_no_sensitivity_is_refused_by_name():
    with pytest.raises(ValueError, match="no column val_loss"):
        sensitivity(sweep(bowl).drop(columns="val_loss"))
    with pytest.raises(ValueError, match=r"factors=\(1.0,\)"):
        sensitivity(sweep(bowl), factors=(1.0,))
    mixed = pd.concat([sweep(bowl, optimizer="sgd"), sweep(bowl, optimizer="adamw")])
    with pytest.raises(ValueError, match="optimizer has several values"):
        sensitivity(mixed)


def curve(losses, run: str = "a", **columns) -> pd.DataFrame:
    table = pd.DataFrame({"study": "s", "run": run, "step": range(len(losses))})
    return table.assign(train_loss=losses, **columns)


@pytest.mark.parametrize("smooth", [1, 5])
def test_a_line_reaches_its_target_where_it_does_later_by_the_lag_of_the_mean(smooth):
    (found,) = steps_to_loss(curve(4 - 0.1 * np.arange(40)), 1.95, smooth=smooth)
    assert found.steps == pytest.approx(20.5 + (smooth - 1) / 2)
    assert found.reached
    assert found.exact
    assert math.isnan(found.examples)


def test_the_first_step_is_what_a_loop_finds():
    losses = 4 * np.exp(-np.arange(200) / 80) + 0.2 * np.random.default_rng(0).normal(size=200)
    (found,) = steps_to_loss(curve(losses), 1.5, smooth=7)
    means = {step: losses[step - 6 : step + 1].mean() for step in range(6, 200)}
    first = next(step for step, mean in means.items() if mean <= 1.5)
    share = (means[first - 1] - 1.5) / (means[first - 1] - means[first])
    assert found.steps == pytest.approx(first - 1 + share)


def test_a_run_that_never_arrives_takes_at_least_as_long_as_it_lasted():
    (found,) = steps_to_loss(curve(np.full(30, 3.0), batch=16), 2.0, smooth=3)
    assert (found.steps, found.examples) == (29.0, 464.0)
    assert not found.reached
    (short,) = steps_to_loss(curve([1.0, 1.0]), 2.0, smooth=3)
    assert (short.steps, short.reached) == (1.0, False)
    (lost,) = steps_to_loss(curve([3.0, math.nan, math.nan]), 2.0, smooth=1)
    assert (lost.steps, lost.reached) == (2.0, False)


def test_a_run_that_starts_below_its_target_took_at_most_as_long():
    for losses in ([1.5, 1.0], [math.nan, 1.5]):
        (found,) = steps_to_loss(curve(losses), 2.0, smooth=1)
        assert found.reached
        assert not found.exact


def test_validation_losses_are_taken_where_there_are_any():
    table = curve([9.0, 9.0], val_loss=[3.0, 1.0]).assign(step=[100, 200])
    (found,) = steps_to_loss(table, 2.5, smooth=1)
    assert found.steps == 125.0


def test_examples_are_steps_times_the_batch_of_the_table_or_of_a_mapping():
    table = pd.concat([curve([3.0, 1.0], run="b"), curve([3.0, 1.0])])
    found = steps_to_loss(table, 2.0, smooth=1, batch={"a": 16})
    assert [(one.run, one.examples) for one in found[:1]] == [("a", 8.0)]
    assert math.isnan(found[1].examples)
    assert steps_to_loss(table.assign(batch=32), 2.0, smooth=1)[0].examples == 16.0


def test_what_has_no_loss_is_refused_by_name():
    with pytest.raises(ValueError, match="no column train_loss"):
        steps_to_loss(curve([1.0]).drop(columns="train_loss"), 1.0, smooth=1)
    with pytest.raises(ValueError, match="smooth=0"):
        steps_to_loss(curve([1.0]), 1.0, smooth=0)


def planted(noise=0.0, draw=0, *, seeds=4, batches=BATCHES, least=100.0, critical=60.0, bend=1.0):
    """Points whose best lr, the middle one, takes `least` (1 + critical / batch) steps."""
    draws = np.random.default_rng(draw)
    records = []
    for batch in batches:
        for seed in range(seeds):
            steps = least * (1 + (critical / batch) ** bend) * math.exp(noise * draws.normal())
            for lr, slower in ((1e-3, 3.0), (1e-2, 1.0), (1e-1, 2.0)):
                records.append({"batch": batch, "lr": lr, "seed": seed, "steps": steps * slower})
    return pd.DataFrame(records).assign(reached=True, exact=True)


def test_a_hyperbola_without_noise_is_recovered():
    found = tradeoff(planted())
    assert found.identified
    assert found.reason == ""
    assert found.steps_min.value == pytest.approx(100, rel=1e-6)
    assert found.examples_min.value == pytest.approx(6_000, rel=1e-6)
    assert found.critical_batch.value == pytest.approx(60, rel=1e-6)
    for batch, lr, steps in found.optima:
        assert lr == 1e-2
        assert (steps / 100 - 1) * (steps * batch / 6_000 - 1) == pytest.approx(1)


def test_the_hyperbola_is_what_a_general_fit_to_each_seed_finds():
    points = planted(0.03)
    found, best = tradeoff(points), points[points["lr"] == 1e-2]
    logs = []
    for _, seed in best.groupby("seed"):
        fitted, _ = optimize.curve_fit(
            lambda batch, least, critical: least + np.log1p(np.exp(critical) / batch),
            seed["batch"].to_numpy(float),
            np.log(seed["steps"]),
            p0=(4.0, 4.0),
        )
        logs.append(fitted)
    ends = stats.ttest_1samp(np.array(logs), 0).confidence_interval(0.95)
    assert found.steps_min.value == pytest.approx(np.exp(np.mean(logs, axis=0)[0]), rel=1e-4)
    assert found.critical_batch.low == pytest.approx(np.exp(ends.low[1]), rel=1e-4)
    assert found.critical_batch.high == pytest.approx(np.exp(ends.high[1]), rel=1e-4)


def test_the_intervals_of_the_hyperbola_cover_at_their_rate():
    found = [tradeoff(planted(0.05, draw)) for draw in range(60)]
    kept = [one for one in found if one.identified]
    assert len(kept) >= 57  # the rest is thought to be no hyperbola, 1 in 100 by chance
    truths = {"steps_min": 100, "examples_min": 6_000, "critical_batch": 60}
    for name, truth in truths.items():
        ends = [getattr(one, name) for one in kept]
        covered = sum(one.low <= truth <= one.high for one in ends)
        assert LEAST - 60 + len(kept) <= covered <= MOST


def test_censored_points_never_are_the_best_and_missed_batches_are_told():
    points = planted()
    points.loc[(points["lr"] == 1e-1) & (points["seed"] == 0), "steps"] = 1.0
    points.loc[(points["lr"] == 1e-1) & (points["seed"] == 0), "reached"] = False
    points.loc[points["batch"] == 256, "reached"] = False
    found = tradeoff(points)
    assert {lr for _, lr, _ in found.optima} == {1e-2}
    assert found.missed == (256,)
    assert found.critical_batch.value == pytest.approx(60, rel=1e-6)


def test_fewer_than_four_batch_sizes_or_three_seeds_say_so():
    few = tradeoff(planted(batches=BATCHES[:3]))
    assert few.reason == "3 batch sizes reach the target with all seeds; it takes 4"
    assert math.isnan(few.critical_batch.value)
    pair = tradeoff(planted(seeds=2))
    assert pair.reason == "2 seeds at every batch size; an interval needs 3"
    none = tradeoff(planted().assign(reached=False, exact=False))
    assert (none.optima, none.missed) == ((), tuple(BATCHES))
    assert none.reason.startswith("0 batch sizes")


@pytest.mark.parametrize(
    ("kept", "side"),
    [([1e-2, 1e-1], "lowest"), ([1e-3, 1e-2], "highest"), ([1e-2], "only")],
)
def test_a_best_lr_at_the_edge_leaves_an_upper_bound(kept, side):
    points = planted()
    found = tradeoff(points[points["lr"].isin(kept) | (points["batch"] != 64)])
    assert not found.identified
    assert found.reason == f"batch 64: the best lr is the {side} one, steps an upper bound"
    assert len(found.optima) == 5


def test_a_run_below_the_target_at_once_leaves_an_upper_bound():
    points = planted()
    first = (points["batch"] == 32) & (points["lr"] == 1e-2) & (points["seed"] == 1)
    points.loc[first, ["steps", "exact"]] = 0.0, False
    assert tradeoff(points).reason == "batch 32: below the target when first measured"


@pytest.mark.parametrize(
    ("critical", "said"),
    [(1e9, "no end: steps fall as 1 / batch"), (1e-6, "may be 0"), (8.0, "8, lies outside")],
)
def test_a_critical_batch_beyond_those_tried_is_not_identified(critical, said):
    found = tradeoff(planted(critical=critical))
    assert not found.identified
    assert said in found.reason


def test_a_vague_interval_is_not_identified():
    assert "may be 0" in tradeoff(planted(0.5, seeds=3)).reason


def test_steps_that_bend_otherwise_are_no_hyperbola():
    found = tradeoff(planted(0.01, bend=0.6))
    assert not found.identified
    assert "the steps lie on no hyperbola" in found.reason


def test_points_that_differ_in_more_are_refused():
    points = planted()
    with pytest.raises(ValueError, match="two runs of one batch, lr and seed"):
        tradeoff(pd.concat([points, points]))
    with pytest.raises(ValueError, match="clip has several values"):
        tradeoff(pd.concat([points.assign(clip=1.0), points.assign(clip=2.0)]))
    with pytest.raises(ValueError, match="no column reached"):
        tradeoff(points.drop(columns="reached"))


def test_from_losses_to_the_critical_batch():
    points = planted(0.02)
    points["run"] = [f"run {index}" for index in points.index]
    table = pd.concat(
        [
            curve(4 - 2 * np.arange(2_500) / one.steps, run=one.run)  # arrives at 2 after `steps`
            for one in points.itertuples()
        ]
    )
    reaches = pd.DataFrame(steps_to_loss(table, 2.0, smooth=1))
    found = tradeoff(reaches.merge(points[["run", "batch", "lr", "seed"]]))
    assert np.array(found.optima) == pytest.approx(np.array(tradeoff(points).optima))
    assert found.critical_batch.low < 60 < found.critical_batch.high
