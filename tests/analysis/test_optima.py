"""Optima of single batch sizes: planted bowls, other shapes, and undecided cases."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.optima import optimum

STEP = math.log(10) / 2  # half a decade
PUBLISHED = Path(__file__).parents[2] / "notebooks/data/published/phase_3a.csv"


def linex(z, skew):
    return 2 * (np.expm1(skew * z) - skew * z) / skew**2 if skew else z**2


def sweep(*, at=0.3, noise=0.0, skew=0.0, depth=1.0, count=7, seeds=3, rng=None, **columns):
    """Rows of one batch size whose best lr is 1e-3 e^at; the noise is relative to the depth."""
    x = STEP * (np.arange(count) - count // 2)
    bowl = linex(x - at, skew)
    losses = 2 + depth * (bowl - bowl.min()) / (max(bowl[0], bowl[-1]) - bowl.min())
    rng = rng or np.random.default_rng(0)
    offsets = 0.3 * rng.standard_normal(seeds)
    return pd.DataFrame(
        {"batch": 32, "lr": 1e-3 * math.exp(x[j]), "clip": 1.0, "seed": seed, "status": "done",
         "val_loss": losses[j] + offsets[seed] + noise * depth * rng.standard_normal()} | columns
        for seed in range(seeds) for j in range(count)
    )  # fmt: skip


def flat_sweep(*, noise, rng, count=7, seeds=3):
    rows = sweep(count=count, seeds=seeds)
    return rows.assign(val_loss=2 + noise * rng.standard_normal(len(rows)))


def parabola(losses, **columns):
    """Rows of one seed, a factor e apart."""
    lrs = 1e-3 * np.exp(np.arange(len(losses)))
    rows = {"batch": 32, "lr": lrs, "clip": 1.0, "seed": 0, "status": "done", "val_loss": losses}
    return pd.DataFrame(rows | columns)


def diverged(rows, *steps):
    """The same, with the runs of seed 0 diverged at these places of the grid."""
    lost = rows["lr"].isin(np.unique(rows["lr"])[list(steps)]) & (rows["seed"] == 0)
    return rows.assign(
        status=rows["status"].where(~lost, "diverged"), val_loss=rows["val_loss"].where(~lost)
    )


def only(rows, **settings):
    (answer,) = optimum(rows, **settings)
    return answer


def at_least(share, draws):
    """The number of successes that 99 % of experiments with this rate reach."""
    return stats.binom.ppf(0.01, draws, share)


@pytest.mark.parametrize("count", [5, 6, 7, 9])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_parabola_without_noise_is_recovered_exactly(count, seeds):
    x = np.arange(count)
    rows = pd.concat(parabola(2 + 0.05 * (x - 2.2) ** 2 + 0.1 * s, seed=s) for s in range(seeds))
    got = only(rows)
    assert got.status == "interior"
    assert got.lr == pytest.approx(1e-3 * math.exp(2.2), rel=1e-4)
    assert got.curvature == pytest.approx(0.1, rel=1e-3)
    assert got.loss == pytest.approx(2 + 0.05 * (seeds - 1), abs=1e-6)
    assert got.low <= got.lr <= got.high < got.low * 1.01
    assert got.seeds == seeds


def test_a_skewed_bowl_without_noise_is_recovered_without_a_parabola():
    got = only(sweep(skew=0.7, at=-0.4))
    assert got.lr == pytest.approx(1e-3 * math.exp(-0.4), rel=1e-3)
    assert got.low <= 1e-3 * math.exp(-0.4) <= got.high


def test_three_learning_rates_give_the_parabola_through_them_but_no_shape():
    rows = pd.concat(parabola(np.array([2.5, 2.0, 2.4]) + 0.1 * s, seed=s) for s in range(3))
    got = only(rows)
    assert got.status == "interior"
    assert got.lr == pytest.approx(1e-3 * math.exp(1 + 0.1 / 1.8))
    assert got.curvature == pytest.approx(0.9)
    assert got.high / got.low > 1.2  # although there is no noise here


def test_the_optimum_and_its_ends_are_those_of_a_slow_search():
    rows = sweep(noise=0.03, count=5, rng=np.random.default_rng(3))
    table = rows.pivot(index="lr", columns="seed", values="val_loss")
    x, means = np.log(table.index.to_numpy()), table.mean(axis=1).to_numpy()
    rest = (table - table.mean()).sub(means - means.mean(), axis=0).to_numpy()
    noise = (rest**2).sum() / 8  # 15 losses less 5 learning rates and 2 offsets

    def squares(skew, place):
        bowl = linex(x - place, skew)
        height, level = np.polyfit(bowl, means, 1)
        return 3 * ((means - level - max(0, height) * bowl) ** 2).sum()

    def least(place):
        return optimize.minimize_scalar(squares, args=(place,), bounds=(-1.5, 1.5)).fun

    got = only(rows)
    assert "a bowl through 5" in got.reason
    best = optimize.minimize_scalar(least, bounds=(x[1], x[3]))
    assert math.log(got.lr) == pytest.approx(best.x, abs=1e-4)
    limit = best.fun + noise * stats.f.ppf(0.95, 1, 8)
    for end in (got.low, got.high):
        assert least(math.log(end)) == pytest.approx(limit, rel=5e-3)


def test_the_interval_contains_the_optima_of_other_shapes():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = sweep(at=rng.uniform(-1, 1), skew=1.2, noise=0.01, rng=rng)
        got, (plain,) = only(rows), naive_optima(rows)
        assert got.status != "interior" or got.low <= plain.three <= got.high


def test_the_depth_is_the_rise_within_a_factor_of_four_and_its_one_sided_error():
    rows = sweep(noise=0.1, rng=np.random.default_rng(1))
    table = rows.pivot(index="lr", columns="seed", values="val_loss")
    table = table - table.mean()
    rest = table.sub(table.mean(axis=1), axis=0).to_numpy()
    best = int(table.mean(axis=1).argmin())
    near = rest[best - 2 : best + 3] - rest[best - 2 : best + 3].mean(axis=0)
    noise = math.sqrt((near**2).sum() / (4 * 2))
    means = table.mean(axis=1).to_numpy()
    beside = np.abs(np.log(table.index / table.index[best])) < math.log(4)
    rise = means[beside].max() - means[best]
    bound = rise + stats.t.ppf(0.95, 8) * noise * math.sqrt(2 / 3)
    assert only(rows).depth == pytest.approx(bound)


def test_offsets_of_seeds_are_not_noise():
    rows = sweep(noise=0.03)
    moved = rows.assign(val_loss=rows["val_loss"] + 5.0 * rows["seed"])
    before, after = only(rows), only(moved)
    assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=1e-4)
    alone = rows.assign(seed=np.arange(len(rows)))  # the same losses, unpaired
    assert only(alone).high / only(alone).low > before.high / before.low


@pytest.mark.parametrize(("skew", "noise"), [(0.0, 0.02), (0.0, 0.1), (0.5, 0.05), (-0.5, 0.02)])
def test_intervals_of_interior_optima_cover_at_their_rate(skew, noise):
    rng = np.random.default_rng(7)
    draws, inside, covered = 60, 0, 0
    for _ in range(draws):
        at = rng.uniform(-1, 1) * STEP
        got = only(sweep(at=at, skew=skew, noise=noise, rng=rng))
        inside += got.status == "interior"
        covered += got.status == "interior" and got.low <= 1e-3 * math.exp(at) <= got.high
    assert inside >= 0.6 * draws
    assert covered >= at_least(0.93, inside)


def test_intervals_shrink_with_noise():
    widths = [
        only(sweep(noise=noise, rng=np.random.default_rng(2))) for noise in (0.04, 0.01, 0.001)
    ]
    ratios = [math.log(got.high / got.low) for got in widths]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.1 < ratios[0]


@pytest.mark.parametrize(("at", "status"), [(5.0, "high_edge"), (-5.0, "low_edge")])
def test_optima_beyond_the_grid_are_censored(at, status):
    rng = np.random.default_rng(0)
    answers = [only(sweep(at=at, noise=noise, rng=rng)) for noise in [0.02] * 15 + [0.1] * 15]
    assert sum(got.status == status for got in answers) >= 29
    for got in answers:
        assert got.status != "interior"
        if got.status == "high_edge":
            assert got.low <= got.lr <= 1e-3 * math.exp(3 * STEP + 1e-9) < got.high == math.inf
        if got.status == "low_edge":
            assert 0.0 == got.low < 1e-3 * math.exp(-3 * STEP - 1e-9) <= got.lr <= got.high
        assert math.isnan(got.curvature)


def test_an_edge_that_its_neighbour_may_beat_is_censored_as_well():
    rows = sweep(at=2.6 * STEP, noise=0.02)  # the optimum is just within the grid
    got = only(rows)
    assert got.status == "high_edge"
    assert got.low < 1e-3 * math.exp(2.6 * STEP)
    assert "above the highest, 0.0316" in got.reason


def test_a_flat_landscape_with_little_noise_is_found_flat():
    rng = np.random.default_rng(0)
    answers = [only(flat_sweep(noise=0.0003, rng=rng)) for _ in range(40)]
    assert sum(got.status == "flat" for got in answers) >= 38
    got = answers[0]
    assert got.depth < 0.002
    assert "which is below 0.002" in got.reason
    assert "at most" in got.reason
    assert all(math.isnan(value) for value in (got.lr, got.low, got.high, got.curvature, got.loss))


def test_a_flat_landscape_with_much_noise_is_unresolved():
    rng = np.random.default_rng(0)
    answers = [only(flat_sweep(noise=0.2, rng=rng)) for _ in range(40)]
    assert sum(got.status == "unresolved" for got in answers) >= at_least(0.9, 40)
    assert sum(got.status == "interior" for got in answers) <= 2
    assert all(got.depth > 0.02 for got in answers)


def test_a_shallow_bowl_is_flat():
    rows = sweep(depth=0.015, noise=0.01)
    assert only(rows, flat=0.02).status == "flat"
    assert only(rows).status == "interior"  # noise does not enter the threshold


def test_two_significant_dips_are_irregular():
    rows = sweep(noise=0.01)
    middle = np.unique(rows["lr"])[3]
    bumped = rows.assign(val_loss=rows["val_loss"] + 0.5 * (rows["lr"] == middle))
    got = only(bumped)
    assert got.status == "irregular"
    assert math.isnan(got.lr)
    assert "significantly worse than one on each side" in got.reason


def test_a_bottom_that_is_not_a_bowl_still_has_an_interval():
    walls = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    rng = np.random.default_rng(0)
    rows = sweep()
    steps = np.searchsorted(np.unique(rows["lr"]), rows["lr"])
    got = only(rows.assign(val_loss=walls[steps] + 0.005 * rng.standard_normal(len(rows))))
    assert got.status == "interior"
    assert got.low < 1e-3 * math.exp(-STEP)
    assert got.high > 1e-3 * math.exp(STEP)


def test_diverged_runs_bound_the_optimum():
    falling = sweep(at=3.4 * STEP, noise=0.01, count=7)
    got = only(diverged(falling, 6))
    rates = np.unique(falling["lr"])
    assert got.status == "interior"
    assert got.lr <= rates[5]  # no lr at which a run diverged
    assert got.low <= rates[4]
    assert got.high == pytest.approx(rates[6])
    assert got.depth == math.inf
    assert only(falling).status == "high_edge"


def test_an_infinite_loss_is_a_divergence_and_a_missing_one_is_not_a_run():
    rows = sweep(noise=0.01)
    last = rows["lr"] == rows["lr"].max()
    endless = rows.assign(val_loss=rows["val_loss"].where(~last, math.inf))
    gone = rows.assign(status=rows["status"].where(~last, "diverged"))
    assert only(endless) == only(gone.assign(val_loss=gone["val_loss"].where(~last)))
    assert only(rows.assign(val_loss=rows["val_loss"].where(~last))) == only(rows[~last])


def test_divergence_on_both_sides_bounds_both():
    got = only(diverged(sweep(noise=0.3), 0, 6))
    assert got.status == "interior"
    assert got.low >= 1e-3 * math.exp(-3 * STEP) * (1 - 1e-9)
    assert got.high <= 1e-3 * math.exp(3 * STEP) * (1 + 1e-9)


def test_a_divergence_bounds_the_optimum_and_runs_beyond_it_are_left_out():
    rows = sweep(noise=0.01)
    rates = np.unique(rows["lr"])
    got = only(diverged(rows, 5))
    assert got.status == "interior"
    assert got.high <= rates[5]
    assert got == only(diverged(rows[rows["lr"] < rates[6]], 5))


def test_all_diverged_is_irregular():
    got = only(sweep(status="diverged", val_loss=math.nan))
    assert (got.status, got.seeds, got.depth) == ("irregular", 0, math.inf)


def test_missing_cells_leave_an_optimum_of_the_rest():
    rows = sweep(noise=0.01, seeds=4, rng=np.random.default_rng(5))
    got = only(rows.drop(index=[3, 9, 17]))
    assert got.status == "interior"
    assert got.low <= 1e-3 * math.exp(0.3) <= got.high
    assert got.loss == pytest.approx(only(rows).loss, abs=0.02)


def test_failed_runs_are_left_out():
    rows = sweep(noise=0.01)
    failed = rows.assign(status="failed", val_loss=math.nan, seed=rows["seed"] + 10)
    assert only(pd.concat([rows, failed])) == only(rows)


def test_one_run_in_two_folders_counts_once():
    rows = sweep(noise=0.05)
    assert only(pd.concat([rows, rows])) == only(rows)


def test_each_batch_and_clip_has_its_own_optimum_in_order():
    blocks = [
        sweep(at=at, noise=0.01, batch=batch, clip=clip)
        for batch, clip, at in [(64, math.inf, 0.5), (8, 1.0, -0.5), (8, math.inf, 1.0)]
    ]
    answers = optimum(pd.concat(blocks))
    assert [(got.batch, got.clip) for got in answers] == [(8, 1), (8, math.inf), (64, math.inf)]
    for got, at in zip(answers, (-0.5, 1.0, 0.5), strict=True):
        assert math.log(got.lr / 1e-3) == pytest.approx(at, abs=0.2)
    assert answers[1] == only(blocks[2])


def test_a_missing_clip_is_no_clipping():
    assert only(sweep(clip=None)) == only(sweep(clip=math.inf))


def test_few_runs_borrow_the_noise_of_other_batch_sizes():
    rng = np.random.default_rng(4)
    few = sweep(seeds=2, count=5, noise=0.02, rng=rng)
    others = [sweep(batch=b, seeds=2, count=5, noise=0.02, rng=rng) for b in (64, 128, 256)]
    got = optimum(pd.concat([few, *others]))[0]
    assert "seeds of all batch sizes" in got.reason
    assert got.high / got.low < only(few).high / only(few).low


def test_one_seed_takes_its_noise_from_the_scatter_about_bowls_of_one_shape():
    rng = np.random.default_rng(1)
    blocks = [sweep(seeds=1, noise=0.005, batch=8 * 2**i, rng=rng) for i in range(6)]
    answers = optimum(pd.concat(blocks))
    assert all(got.status == "interior" for got in answers)
    assert all("bowls of one shape" in got.reason for got in answers)
    assert sum(got.low <= 1e-3 * math.exp(0.3) <= got.high for got in answers) >= 5


def test_if_the_noise_is_unknown_the_interval_follows_the_grid():
    got = only(parabola([2.3, 2.0, 2.1, 2.6]))
    assert got.status == "interior"
    assert (got.low, got.high) == pytest.approx((1e-3, 1e-3 * math.e**2), rel=1e-9)
    assert "noise unknown" in got.reason
    assert only(parabola([2.3, 2.2, 2.1])).status == "high_edge"
    assert only(parabola([2.1, 2.2, 2.3])).status == "low_edge"
    assert only(parabola([2.3, 2.1, 2.2, 2.0])).status == "unresolved"
    assert only(parabola([2.3, 2.2, 2.1], status=["done", "done", "diverged"])).status != "interior"


@pytest.mark.parametrize(("count", "said"), [(1, "1 learning rate;"), (2, "2 learning rates;")])
def test_fewer_than_three_learning_rates_are_unresolved(count, said):
    got = only(sweep(count=count, skew=0.0) if count > 1 else sweep(count=2).query("lr == 0.001"))
    assert got.status == "unresolved"
    assert said in got.reason


def test_a_batch_without_a_usable_run_is_unresolved_and_no_rows_give_nothing():
    got = only(sweep(status="failed"))
    assert (got.status, got.seeds) == ("unresolved", 0)
    assert optimum(sweep().iloc[:0]) == ()
    assert naive_optima(sweep(status="failed")) == ()


@pytest.mark.parametrize("column", ["batch", "lr", "clip", "seed", "status", "val_loss"])
def test_an_absent_column_is_named(column):
    for function in (optimum, naive_optima):
        with pytest.raises(ValueError, match=f"no column {column}"):
            function(sweep().drop(columns=column))


def test_the_optimum_of_the_published_table_depends_on_the_shape():
    rows = pd.read_csv(PUBLISHED).assign(seed=0, status="done")
    small, large = naive_optima(rows)
    assert (small.batch, large.batch) == (128, 256)
    assert (small.argmin, large.argmin) == (0.05, 0.05)
    assert [round(small.three, 3), round(large.three, 3)] == [0.043, 0.041]
    assert [round(small.whole, 3), round(large.whole, 3)] == [0.029, 0.030]
    assert [got.status for got in optimum(rows)] == ["unresolved", "unresolved"]  # single seeds


def test_plain_optima_at_an_edge_or_on_a_hill_are_missing():
    (falling,) = naive_optima(parabola([3.0, 2.5, 2.2]))
    assert falling.argmin == pytest.approx(1e-3 * math.e**2)
    assert math.isnan(falling.three)
    (hill,) = naive_optima(parabola([2.0, 2.5, 2.0]))
    assert math.isnan(hill.whole)
