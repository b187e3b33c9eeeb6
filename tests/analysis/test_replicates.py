"""The noise that replicates show, against the published tables, slow references, planted noise."""

import math
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling import results
from scaling.analysis.replicates import replicates

PUBLISHED = Path(__file__).parents[2] / "notebooks" / "data" / "published"


def runs(**columns) -> pd.DataFrame:
    """Finished runs of one cell, with these values in `columns`."""
    fixed = {"study": "a", "batch": 32, "lr": 1e-3, "clip": 1.0, "seed": 0, "status": "done"}
    return pd.DataFrame(fixed | {"clip_percent": 50.0} | columns)


def published() -> pd.DataFrame:
    """The two tables of phase 3 as `results.read` would give them."""
    tables = [
        pd.read_csv(PUBLISHED / f"{study}.csv").assign(study=study)
        for study in ("phase_3a", "phase_3b")
    ]
    return pd.concat(tables).fillna({"clip": math.inf}).assign(seed=0, status="done")


def planted(draws, cells: int, runs_each: int) -> pd.DataFrame:
    """Cells far apart, whose runs differ by noise of sd 0.1."""
    noise = 0.1 * draws.normal(size=(cells, runs_each))
    return runs(
        batch=np.repeat(np.arange(cells), runs_each),
        seed=np.tile(np.arange(runs_each), cells),
        val_loss=(np.arange(cells)[:, None] + noise).ravel(),
    )


def slow_pairs(rows: pd.DataFrame) -> set[tuple[int, int]]:
    """Replicates, by comparing each run with every other."""

    def algorithm(run):
        clip = math.inf if run.clip_percent == 0 else run.clip
        return (run.batch, run.lr, run.seed, clip)

    listed = list(rows.itertuples())
    return {
        (i, j)
        for i, j in combinations(range(len(listed)), 2)
        if algorithm(listed[i]) == algorithm(listed[j])
    }


def test_the_published_replicates_are_a_cell_run_twice_and_a_clip_that_was_never_reached():
    found = replicates(published())
    twice, bitless = found.groups
    assert (twice.kind, twice.losses) == ("same cell", (3.6625, 3.6934))
    assert twice.spread == pytest.approx(0.0309)
    assert twice.description == ("batch=256, lr=0.05, clip=1, seed=0: in phase_3a and phase_3b")
    assert (bitless.kind, bitless.losses) == ("clip never reached", (4.4777, 4.3904))
    assert bitless.spread == pytest.approx(0.0873)
    assert bitless.description == "batch=32, lr=0.001, seed=0: clip 10 and inf were never reached"


def test_the_published_noise_is_larger_than_the_published_effect_of_clipping():
    noise = replicates(published()).noise
    assert noise.freedom == 2
    assert noise.sd == pytest.approx(math.sqrt((0.0309**2 + 0.0873**2) / 4))
    assert noise.reach == pytest.approx(noise.sd * math.sqrt(2) * 4.30265, rel=1e-5)
    assert noise.reach > 3.7277 - 3.6934  # none less clip 1, at batch 256


def test_a_clip_that_was_reached_once_is_not_a_replicate():
    rows = runs(clip=[10.0, math.inf], clip_percent=[0.02, 0.0], val_loss=[1.0, 1.1])
    assert replicates(rows).groups == ()


def test_two_clips_that_were_never_reached_are_replicates_of_each_other():
    rows = runs(clip=[5.0, 10.0], clip_percent=0.0, val_loss=[1.0, 1.1])
    (group,) = replicates(rows).groups
    assert group.description == "batch=32, lr=0.001, seed=0: clip 5 and 10 were never reached"


def test_a_clip_of_null_is_no_clipping():
    rows = runs(clip=[math.nan, math.inf], clip_percent=math.nan, val_loss=[1.0, 1.1])
    assert replicates(rows).noise.sd == pytest.approx(0.1 / math.sqrt(2))


def test_seeds_models_and_dotted_keys_distinguish_runs():
    for apart in ({"seed": [0, 1]}, {"model": ["m", "n"]}, {"optimizer.eps": [1e-8, 1e-6]}):
        assert replicates(runs(**apart, val_loss=[1.0, 1.1])).groups == ()


def test_the_machine_of_a_run_does_not_distinguish_it():
    rows = runs(**{"trainer.accelerator": ["cpu", "gpu"], "val_loss": [1.0, 1.1]})
    assert len(replicates(rows).groups) == 1


def test_one_digest_is_one_cell_though_another_table_lacks_a_key():
    rows = runs(digest="d", val_loss=[1.0, 1.1], **{"optimizer.eps": [1e-8, math.nan]})
    assert len(replicates(rows).groups) == 1


def test_runs_that_look_alike_with_two_digests_are_named_and_left_out():
    found = replicates(runs(digest=["d", "e"], val_loss=[1.0, 1.1]))
    assert found.groups == ()
    assert found.notes == (
        "batch=32, lr=0.001, clip=1, seed=0: 2 similar runs differ in digest and are left out",
    )


def test_groups_equal_those_of_comparing_each_run_with_each_other_one():
    draws = np.random.default_rng(0)
    rows = runs(
        batch=draws.choice([8, 16], 60),
        clip=draws.choice([1.0, 10.0, math.inf], 60),
        seed=draws.choice(2, 60),
        clip_percent=draws.choice([0.0, 3.0], 60),
        val_loss=draws.normal(size=60),
    )
    rows.index = pd.Index([0] * 60)  # as tables that were joined may have it
    found = replicates(rows)
    pairs = {pair for group in found.groups for pair in combinations(group.rows, 2)}
    assert pairs == slow_pairs(rows)
    squares = [np.var(group.losses) * len(group.losses) for group in found.groups]
    freedom = sum(len(group.rows) - 1 for group in found.groups)
    assert found.noise.freedom == freedom
    assert found.noise.sd == pytest.approx(math.sqrt(sum(squares) / freedom))
    firsts = [group.rows[0] for group in found.groups]
    assert all(one < other for one, other in pairwise(firsts))


def test_runs_that_repeat_exactly_are_listed_and_do_not_shrink_the_noise():
    noisy = runs(val_loss=[1.0, 1.2])
    exact = runs(batch=64, val_loss=[2.0, 2.0, 2.0])
    found = replicates(pd.concat([noisy, exact]))
    assert [group.spread for group in found.groups] == [pytest.approx(0.2), 0.0]
    assert found.noise == replicates(noisy).noise


def test_a_repeated_loss_beside_another_counts_once():
    assert replicates(runs(val_loss=[1.0, 1.2, 1.0])).noise == (
        replicates(runs(val_loss=[1.0, 1.2])).noise
    )


def test_without_differences_no_noise_is_estimated():
    for rows in (runs(val_loss=[1.0, 1.0]), runs(val_loss=[1.0]), runs(val_loss=[])):
        noise = replicates(rows).noise
        assert math.isnan(noise.sd)
        assert math.isnan(noise.reach)
        assert noise.reason == "no two runs of one algorithm differ"


def test_a_replicate_that_diverged_is_reported():
    rows = runs(status=["done", "diverged", "failed"], val_loss=[1.0, math.nan, math.nan])
    found = replicates(rows)
    assert found.groups == ()
    assert found.notes == ("batch=32, lr=0.001, clip=1, seed=0: 1 of 2 replicates diverged",)


def test_the_interval_of_noise_covers_the_planted_noise_at_its_rate():
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(150):
        noise = replicates(planted(draws, 6, 2).assign(seed=0)).noise
        assert noise.freedom == 6
        held += noise.low <= 0.1 <= noise.high
    low, high = stats.binom.interval(0.99, 150, 0.95)
    assert low <= held <= high


def test_two_runs_lie_within_reach_at_its_rate():
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(150):
        noise = replicates(planted(draws, 3, 2).assign(seed=0)).noise
        held += abs(0.1 * np.subtract(*draws.normal(size=2))) <= noise.reach
    low, high = stats.binom.interval(0.99, 150, 0.95)
    assert low <= held <= high


def test_what_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="must have a column status and val_loss"):
        replicates(pd.DataFrame({"batch": [8, 8]}))
    with pytest.raises(ValueError, match="must have a column test_loss"):
        replicates(runs(val_loss=[1.0, 1.1]), measure="test_loss")
    with pytest.raises(ValueError, match="level=95.0 must lie between 0 and 1"):
        replicates(runs(val_loss=[1.0, 1.1]), level=95.0)


def test_runs_of_tables_without_digests_are_identified_by_their_settings():
    with pytest.warns(UserWarning, match="has missing columns"):
        both = results.read(PUBLISHED / "phase_3a.csv", PUBLISHED / "phase_3b.csv")
    pairs = {tuple(sorted(group.losses)) for group in replicates(both).groups}
    assert pairs == {(3.6625, 3.6934), (4.3904, 4.4777)}
