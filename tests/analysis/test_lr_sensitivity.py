"""The loss lost at a wrong lr: closed forms, a fine grid, planted bowls."""

import math

import numpy as np
import pandas as pd
import pytest
from rates import within
from scipy import stats

from scaling.analysis.lr_sensitivity import sensitivity

LRS = [1e-3 * 2.0**power for power in range(-4, 5)]


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
    assert (found.edge, found.caveat) == ("", "")


@pytest.mark.parametrize("factor", [1.3, 3.0, 10.0])
def test_the_loss_lost_is_a_mean_over_a_fine_grid(factor):
    table = sweep(noisy(0, 0.1))
    (found,) = sensitivity(table, factors=(factor,))
    lost = []
    for seed, own in table.groupby("seed"):
        losses = own.set_index("lr")["val_loss"]
        best = table[table["seed"] != seed].groupby("lr")["val_loss"].mean().idxmin()
        x = math.log(best) + math.log(factor) * np.arange(-19_999, 20_000, 2) / 20_000  # midpoints
        x = x[(x >= math.log(losses.index[0])) & (x <= math.log(losses.index[-1]))]
        fine = np.interp(x, np.log(losses.index), losses)
        lost.append(np.mean(fine) - losses[best])
    assert found.lost == pytest.approx(np.mean(lost), rel=1e-4)


def test_noise_does_not_make_a_wrong_lr_cost_something():
    rng = np.random.default_rng(0)
    costs = []
    for _ in range(200):
        lrs, seeds = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), range(4)
        rows = [(lr, seed, 2 + 0.1 * rng.standard_normal()) for lr in lrs for seed in seeds]
        table = pd.DataFrame(rows, columns=["lr", "seed", "val_loss"])
        table = table.assign(batch=8, clip=1.0, status="done", uniform_loss=99.0)
        costs.append(sensitivity(table, factors=(3.0,))[0].lost)
    assert abs(np.mean(costs)) < 3 * np.std(costs) / math.sqrt(len(costs))


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
    assert [seed for seed, _ in found.each] == [0, 1, 2, 3]
    assert [lost for _, lost in found.each] == pytest.approx(each)


def test_the_interval_covers_at_its_rate():
    truth = 0.3 * math.log(2) ** 2 / 2
    found = [sensitivity(sweep(noisy(i, 0.02)), factors=(2.0,))[0] for i in range(60)]
    assert within(sum(one.low <= truth <= one.high for one in found), 60, 0.95)


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


def test_losses_that_the_mean_does_not_go_through_are_not_counted_as_capped():
    table = sweep(bowl)
    table.loc[table["lr"] > 5e-3, "val_loss"] = 9.0
    near, far = sensitivity(table, factors=(2.0, 10.0))
    assert (near.capped, near.caveat) == (0, "")
    assert (far.capped, far.caveat) == (8, "8 losses count as the ceiling")


def test_if_no_lr_ends_below_the_ceiling_nothing_is_known():
    (found,) = sensitivity(sweep(bowl), factors=(2.0,), ceiling=1.0)
    assert found.caveat == "no lr ends below the ceiling"
    assert math.isnan(found.lost)
    assert math.isnan(found.best)
    assert (found.edge, found.seeds, found.capped) == ("", 4, 36)


def test_divergence_without_a_ceiling_is_refused():
    table = sweep(bowl).drop(columns="uniform_loss")
    assert sensitivity(table)[0].lost > 0
    table.loc[0, "status"] = "diverged"
    with pytest.raises(ValueError, match="ceiling=None"):
        sensitivity(table)


def test_a_single_lr_is_reported():
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


def test_each_batch_clip_and_factor_is_separate():
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
