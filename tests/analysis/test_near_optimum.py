"""The runs that locate an optimum are those near it, and unstable ones are found."""

import numpy as np
import planted
import pytest

from scaling.analysis.loss_surface import Losses
from scaling.analysis.near_optimum import near_optimum
from scaling.analysis.powerlaws import learning_rate_law


def sweep(seed: int = 0, **settings) -> planted.Draw:
    return planted.bowl(np.random.default_rng(seed), "wide", **settings)


@pytest.mark.parametrize("seeds", [1, 3])
def test_all_runs_of_a_bowl_are_near_its_optimum(seeds):
    for seed in range(5):
        near = near_optimum(Losses.of(sweep(seed, seeds=seeds).rows))
        assert near.kept.mean() > 0.9
        assert near.unstable.sum() <= 1


@pytest.mark.parametrize("seeds", [1, 3])
def test_runs_that_jump_are_unstable_and_change_nothing(seeds):
    draw = sweep(1, seeds=seeds, noise=0.05)
    rows = draw.rows
    ends = rows.groupby("batch")["lr"].transform("max")
    jumped = rows["lr"] == ends
    moved = rows.assign(val_loss=rows["val_loss"] + 80.0 * jumped)
    assert (near_optimum(Losses.of(moved)).unstable == jumped).all()
    law, without = learning_rate_law(moved), learning_rate_law(rows[~jumped])
    assert law.exponent == pytest.approx(without.exponent, abs=0.01)
    assert law.high - law.low == pytest.approx(without.high - without.low, rel=0.1)
    assert law.unstable == jumped.sum()


def test_single_runs_far_above_a_bowl_are_found_next_to_the_optimum():
    for seed in range(5):
        rows = sweep(seed, seeds=1, noise=0.02).rows.copy()
        lowest = rows.loc[rows.groupby("batch")["val_loss"].idxmin()]
        second, third = lowest.iloc[1], lowest.iloc[3]
        beyond = []
        for one in (second, third):
            curve = rows[(rows["batch"] == one["batch"]) & (rows["lr"] > one["lr"])]
            beyond.append(curve["lr"].idxmin())
        rows.loc[beyond, "val_loss"] += 20
        assert near_optimum(Losses.of(rows)).unstable[rows.index.isin(beyond)].all()


def test_a_steep_far_side_is_left_out_of_the_window():
    draw = sweep(2, seeds=1, noise=0.02)
    rows = draw.rows
    best = rows.loc[rows.groupby("batch")["val_loss"].idxmin()].set_index("batch")["lr"]
    right = np.log(rows["lr"] / rows["batch"].map(best)).clip(lower=0)
    steep = rows.assign(val_loss=rows["val_loss"] + np.expm1((right - 2.5).clip(lower=0) * 2))
    near = near_optimum(Losses.of(steep))
    assert not near.kept[(right > 3.4).to_numpy()].any()
    law = learning_rate_law(steep)
    assert law.low <= draw.exponent <= law.high


def test_too_few_learning_rates_are_all_kept():
    rows = sweep(3, seeds=1).rows
    for count, fitted in ((3, True), (2, False)):
        few = rows[rows["lr"].isin(np.unique(rows["lr"])[2 : 2 + count])]
        near = near_optimum(Losses.of(few))
        assert near.kept.all()
        assert (near.surface is not None) == fitted
