"""The step-examples hyperbola: closed forms, slow references, planted parameters."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from scaling.analysis.critical_batch import tradeoff

BATCHES = [16, 32, 64, 128, 256]
LEAST, MOST = stats.binom.interval(0.99, 60, 0.95)


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
    assert len(kept) >= 57  # the others are rejected as hyperbolas, 1 in 100 by chance
    truths = {"steps_min": 100, "examples_min": 6_000, "critical_batch": 60}
    for name, truth in truths.items():
        ends = [getattr(one, name) for one in kept]
        covered = sum(one.low <= truth <= one.high for one in ends)
        assert LEAST - 60 + len(kept) <= covered <= MOST


def test_censored_points_are_never_the_best_and_missing_batches_are_reported():
    points = planted()
    points.loc[(points["lr"] == 1e-1) & (points["seed"] == 0), "steps"] = 1.0
    points.loc[(points["lr"] == 1e-1) & (points["seed"] == 0), "reached"] = False
    points.loc[points["batch"] == 256, "reached"] = False
    found = tradeoff(points)
    assert {lr for _, lr, _ in found.optima} == {1e-2}
    assert found.missed == (256,)
    assert found.critical_batch.value == pytest.approx(60, rel=1e-6)


def test_fewer_than_four_batch_sizes_or_three_seeds_are_reported():
    few = tradeoff(planted(batches=BATCHES[:3]))
    assert few.reason == "3 batch sizes reach the target on all seeds; 4 needed"
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
    assert found.reason == f"batch 64: the best lr is the {side} tried: steps are an upper bound"
    assert len(found.optima) == 5


def test_a_run_below_the_target_at_once_leaves_an_upper_bound():
    points = planted()
    first = (points["batch"] == 32) & (points["lr"] == 1e-2) & (points["seed"] == 1)
    points.loc[first, ["steps", "exact"]] = 0.0, False
    assert tradeoff(points).reason == "batch 32: below the target when first measured"


@pytest.mark.parametrize(
    ("critical", "said"),
    [(1e9, "no upper bound: steps fall as 1 / batch"), (1e-6, "may be 0"), (8.0, "8, is outside")],
)
def test_a_critical_batch_beyond_those_tried_is_not_identified(critical, said):
    found = tradeoff(planted(critical=critical))
    assert not found.identified
    assert said in found.reason


def test_a_wide_interval_is_not_identified():
    assert "may be 0" in tradeoff(planted(0.5, seeds=3)).reason


def test_steps_with_another_curvature_are_not_a_hyperbola():
    found = tradeoff(planted(0.01, bend=0.6))
    assert not found.identified
    assert "the steps do not follow a hyperbola" in found.reason


def test_points_that_differ_in_more_are_refused():
    points = planted()
    with pytest.raises(ValueError, match="two runs share batch, lr and seed"):
        tradeoff(pd.concat([points, points]))
    with pytest.raises(ValueError, match="clip has several values"):
        tradeoff(pd.concat([points.assign(clip=1.0), points.assign(clip=2.0)]))
    with pytest.raises(ValueError, match="no column reached"):
        tradeoff(points.drop(columns="reached"))
