"""Paired effects against closed forms, a loop that pairs runs one by one, and planted effects."""

import math

import numpy as np
import pandas as pd
import pytest
from factorial import Cell, sweep
from rates import within
from scipy import stats

from scaling.analysis.effects import effect_of, paired_contrasts
from scaling.analysis.pairing import Pairing
from scaling.analysis.significance import detectable, holm


def drawn(draws, effect: float, *, blocks: int, seeds: int) -> pd.DataFrame:
    """A sweep in which each batch size is a separate draw; sd 0.1 of a seed's mean difference.

    Cells and seeds have large effects, which the two levels of clip share.
    """
    shape = (seeds, blocks, 2)
    level = 5 * draws.normal(size=shape) + draws.normal(size=(seeds, 1, 1))
    per_seed = 0.1 * math.sqrt(0.5) * draws.normal(size=(seeds, blocks, 1))
    change = effect + per_seed + 0.1 * draws.normal(size=shape)  # over 2 cells: 0.1^2 in all
    loss = np.stack([level, level + change], axis=-1)
    return sweep(
        lambda cell: float(
            loss[cell.seed, cell.batch, int(cell.lr == 1e-2), int(math.isinf(cell.clip))]
        ),
        seeds=range(seeds),
        batches=range(blocks),
    )


def slow_effect(rows: pd.DataFrame, a: float, b: float) -> tuple[list[float], int, int, int]:
    """Means of seeds, pairs, and how often a run diverged at a and at b, by loops."""
    runs = {Cell(*run[:4]): run for run in rows.itertuples(index=False)}
    found: dict[int, dict[tuple, float]] = {}
    lost = [0, 0]
    for cell, run in runs.items():
        other = runs.get(cell._replace(clip=b))
        if cell.clip != a or other is None:
            continue
        lost[0] += run.status == "diverged"
        lost[1] += other.status == "diverged"
        if run.status == other.status == "done":
            difference = other.val_loss - run.val_loss
            found.setdefault(cell.seed, {})[cell.batch, cell.lr] = difference
    common = set.intersection(*(set(cells) for cells in found.values()))
    assert common
    means = [sum(cells[c] for c in common) / len(common) for cells in found.values()]
    return means, len(common) * len(found), *lost


def test_an_effect_in_closed_form():
    change = {0: 0.1, 1: 0.2, 2: 0.6}
    rows = sweep(lambda cell: cell.batch + cell.lr + math.isinf(cell.clip) * change[cell.seed])
    effect = effect_of(rows, "clip")
    (one,) = effect.contrasts
    assert effect.shared == ("batch", "lr")
    assert (one.a, one.b, one.seeds, one.pairs) == (1.0, math.inf, 3, 12)
    sd = math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2)
    reach = 4.302652730 * sd / math.sqrt(3)
    assert one.difference == pytest.approx(0.3)
    assert (one.low, one.high) == (pytest.approx(0.3 - reach), pytest.approx(0.3 + reach))
    assert one.p == pytest.approx(stats.ttest_1samp(list(change.values()), 0).pvalue)
    assert one.p_holm == one.p
    assert one.smallest_detectable == pytest.approx(sd * detectable(3, 0.95))
    assert one.verdict == "inconclusive"
    assert one.reason.startswith("-0.36 to 0.96 contains 0; 3 seeds detect")


def test_equal_differences_differ_and_their_interval_is_a_point():
    (one,) = effect_of(sweep(lambda cell: 0.5 * math.isinf(cell.clip)), "clip").contrasts
    assert (one.low, one.difference, one.high, one.p) == (0.5, 0.5, 0.5, 0.0)
    assert (one.verdict, one.reason, one.seeds_needed) == ("differs", "", 2)


def test_levels_that_are_one_algorithm_have_no_difference_at_all():
    (one,) = effect_of(sweep(lambda cell: cell.lr * cell.seed), "clip").contrasts
    assert (one.difference, one.p, one.seeds_needed) == (0.0, 1.0, math.inf)
    assert (one.verdict, one.reason) == ("inconclusive", "all differences are exactly 0")


def test_cells_do_not_count_as_seeds():
    few = effect_of(sweep(lambda cell: cell.seed * math.isinf(cell.clip)), "clip")
    many = effect_of(
        sweep(lambda cell: cell.seed * math.isinf(cell.clip), lrs=np.geomspace(1e-4, 1, 30)), "clip"
    )
    assert few.contrasts[0].p == pytest.approx(many.contrasts[0].p)


def test_an_effect_equals_that_of_pairing_runs_one_by_one():
    draws = np.random.default_rng(0)
    clips = (0.1, 1.0, math.inf)
    rows = sweep(lambda _: float(draws.normal()), seeds=range(5), batches=range(4), clips=clips)
    rows["status"] = draws.choice(["done", "diverged", "failed"], len(rows), p=[0.97, 0.02, 0.01])
    rows = rows[draws.random(len(rows)) < 0.99].sample(frac=1, random_state=0)
    rows.loc[rows["status"] != "done", "val_loss"] = math.nan
    effect = effect_of(rows, "clip", reference=1.0)
    assert [(one.a, one.b) for one in effect.contrasts] == [(1.0, 0.1), (1.0, math.inf)]
    assert any(one.diverged_a + one.diverged_b for one in effect.contrasts)
    for one in effect.contrasts:
        means, pairs, lost_a, lost_b = slow_effect(rows, one.a, one.b)
        interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        assert (one.seeds, one.pairs) == (len(means), pairs)
        assert (one.diverged_a, one.diverged_b) == (lost_a, lost_b)
        assert one.difference == pytest.approx(np.mean(means))
        assert (one.low, one.high) == pytest.approx(tuple(interval))
    corrected = holm([one.p for one in effect.contrasts])
    assert [one.p_holm for one in effect.contrasts] == pytest.approx(corrected)


def test_changing_sides_changes_the_sign_and_nothing_else():
    draws = np.random.default_rng(0)
    rows = sweep(lambda _: float(draws.normal()))
    (one,) = effect_of(rows, "clip").contrasts
    (other,) = effect_of(rows, "clip", reference=math.inf).contrasts
    assert (other.a, other.b) == (one.b, one.a)
    assert (other.low, other.difference, other.high) == (-one.high, -one.difference, -one.low)
    assert (other.p, other.smallest_detectable) == (one.p, one.smallest_detectable)


def test_each_level_is_compared_with_the_first_or_with_the_reference():
    rows = sweep(lambda cell: cell.seed * cell.lr, lrs=(1e-2, 1e-4, 1e-3))
    assert [(one.a, one.b) for one in effect_of(rows, "lr").contrasts] == [
        (1e-4, 1e-3), (1e-4, 1e-2)
    ]  # fmt: skip
    assert [(one.a, one.b) for one in effect_of(rows, "lr", reference=1e-3).contrasts] == [
        (1e-3, 1e-4), (1e-3, 1e-2)
    ]  # fmt: skip


def test_effects_of_a_cell_cancel():
    draws = np.random.default_rng(0)
    noise = dict(zip(range(3), draws.normal(size=3), strict=True))
    (calm,) = effect_of(
        sweep(lambda cell: noise[cell.seed] * math.isinf(cell.clip)), "clip"
    ).contrasts
    (rough,) = effect_of(
        sweep(
            lambda cell: (
                noise[cell.seed] * math.isinf(cell.clip) + 9 * cell.batch * cell.lr - cell.seed
            )
        ),
        "clip",
    ).contrasts
    assert (rough.difference, rough.p) == (pytest.approx(calm.difference), pytest.approx(calm.p))


def test_blocks_are_the_effects_of_their_rows_with_a_correction_for_all():
    draws = np.random.default_rng(0)
    rows = sweep(lambda _: float(draws.normal()), batches=(8, 16, 32))
    effect = effect_of(rows, "clip", by=("lr", "batch"))
    assert len(effect.cells) == 6
    for one in effect.cells:
        named = dict(one.where)
        inside = rows[(rows["lr"] == named["lr"]) & (rows["batch"] == named["batch"])]
        (alone,) = effect_of(inside, "clip").contrasts
        assert (one.difference, one.p) == (pytest.approx(alone.difference), pytest.approx(alone.p))
    assert [one.p_holm for one in effect.cells] == pytest.approx(
        holm([one.p for one in effect.cells])
    )
    assert effect.contrasts == effect_of(rows, "clip").contrasts


def test_one_seed_gives_a_difference_and_no_interval():
    (one,) = effect_of(sweep(lambda cell: math.isinf(cell.clip), seeds=[7]), "clip").contrasts
    assert (one.difference, one.seeds, one.verdict) == (1.0, 1, "inconclusive")
    assert one.reason.startswith("one seed:")
    assert all(map(math.isnan, (one.low, one.high, one.p, one.p_holm, one.smallest_detectable)))


def test_two_seeds_give_an_interval_as_wide_as_it_must_be():
    rows = sweep(lambda cell: math.isinf(cell.clip) * (1 + 0.1 * cell.seed), seeds=[0, 1])
    (one,) = effect_of(rows, "clip").contrasts
    assert one.high - one.low == pytest.approx(2 * 12.7062 * 0.05, rel=1e-5)
    assert one.verdict == "differs"


def test_pairs_that_diverged_are_counted_and_named():
    rows = sweep(lambda cell: cell.seed * math.isinf(cell.clip))
    rows.loc[[1, 5], ["status", "val_loss"]] = ["diverged", math.nan]  # at clip=inf
    rows.loc[4, ["status", "val_loss"]] = ["diverged", math.nan]  # at clip=1
    effect = effect_of(rows, "clip")
    (one,) = effect.contrasts
    assert (one.diverged_a, one.diverged_b) == (1, 2)
    assert one.notes[0] == "2 of 12 pairs diverged, without a difference"


def test_seeds_average_the_cells_that_all_of_them_have():
    rows = sweep(lambda cell: math.isinf(cell.clip) * (cell.batch + cell.seed))
    rows = rows[(rows["seed"] != 1) | (rows["batch"] == 32)]
    effect = effect_of(rows, "clip")
    assert (effect.contrasts[0].difference, effect.contrasts[0].pairs) == (33.0, 6)
    assert effect.contrasts[0].notes == (
        "cells differ between seeds: only common ones count, 6 of 10 pairs",
    )


def test_seeds_without_a_common_cell_average_their_own_and_this_is_reported():
    rows = sweep(lambda cell: math.isinf(cell.clip) * float(cell.batch), seeds=[0, 1])
    effect = effect_of(rows[rows["batch"] == rows["seed"].map({0: 32, 1: 64})], "clip")
    assert (effect.contrasts[0].difference, effect.contrasts[0].pairs) == (48.0, 4)
    assert "no cell is common to all" in effect.contrasts[0].notes[0]


def test_runs_that_did_not_end_are_left_out_and_counted():
    rows = sweep(lambda cell: cell.seed)
    rows["status"] = rows["status"].where(rows.index != 0, "failed")
    effect = effect_of(rows, "clip")
    assert effect.notes[0] == "1 run is left out: not ended, or without val_loss or clip"
    assert effect.contrasts[0].diverged_a == 0


def test_a_cell_run_twice_is_averaged_and_this_is_reported():
    rows = sweep(lambda cell: cell.seed * math.isinf(cell.clip))
    effect = effect_of(pd.concat([rows, rows]), "clip")
    assert effect.contrasts == effect_of(rows, "clip").contrasts
    assert effect.notes == ("runs of one cell and seed are averaged, 24 times",)


def test_settings_of_an_optimizer_are_part_of_it():
    rows = sweep(lambda cell: cell.seed + cell.clip, clips=(0.0, 1.0))
    rows["optimizer"] = rows.pop("clip").map({0.0: "adamw", 1.0: "sgd"})
    rows["optimizer.momentum"] = rows["optimizer"].map({"sgd": 0.9})
    effect = effect_of(rows, "optimizer")
    assert (effect.contrasts[0].a, effect.contrasts[0].difference) == ("adamw", 1.0)
    assert effect.notes == ("confounded with optimizer: optimizer.momentum",)


def test_a_confounded_setting_leaves_no_pairs():
    rows = sweep(lambda cell: cell.seed, batches=[32], lrs=[1e-3])
    effect = effect_of(rows.assign(lr=rows["clip"].map({1.0: 1e-3, math.inf: 1e-2})), "clip")
    assert effect.notes == ("confounded with clip: lr",)
    assert effect.contrasts[0].pairs == 0
    assert effect.contrasts[0].reason == "no two runs that share everything else have a difference"


@pytest.mark.parametrize("seeds", [3, 5])
def test_without_an_effect_the_interval_contains_0_at_its_rate(seeds):
    rows = drawn(np.random.default_rng(seeds), 0.0, blocks=400, seeds=seeds)
    cells = effect_of(rows, "clip", by=("batch",)).cells
    assert within(sum(one.low <= 0 <= one.high for one in cells), 400, 0.95)


def test_an_effect_of_the_smallest_detectable_size_is_found_four_times_in_five():
    effect = 0.1 * detectable(4, 0.95)
    rows = drawn(np.random.default_rng(0), effect, blocks=400, seeds=4)
    cells = effect_of(rows, "clip", by=("batch",)).cells
    assert within(sum(one.p < 0.05 for one in cells), 400, 0.8)
    assert np.sqrt(np.mean([one.smallest_detectable**2 for one in cells])) == pytest.approx(
        effect, rel=0.1
    )


def test_more_than_a_thousand_seeds_are_reported_as_such():
    rows = sweep(lambda cell: math.isinf(cell.clip) * (cell.seed - 0.999))
    assert effect_of(rows, "clip").contrasts[0].reason.endswith("0.001 would take over 1000")


def test_what_cannot_be_used_is_refused():
    rows = sweep(lambda cell: cell.seed)
    with pytest.raises(ValueError, match="level=95.0 must lie between 0 and 1"):
        effect_of(rows, "clip", level=95.0)
    with pytest.raises(ValueError, match="reference=2 must be a clip, one of 1, inf"):
        effect_of(rows, "clip", reference=2)
    with pytest.raises(ValueError, match="by=model must vary, and not be clip; .*: batch, lr"):
        effect_of(rows, "clip", by=("model",))


def test_contrasts_need_no_names_of_a_sweep():
    draws = np.random.default_rng(0)
    rows = sweep(lambda _: float(draws.normal()))
    names = {"clip": "arm", "seed": "fold", "batch": "query", "val_loss": "score"}
    pairs = Pairing.of(rows.rename(columns=names), "score", "arm", ["query", "lr"], "fold")
    assert paired_contrasts(pairs) == effect_of(rows, "clip").contrasts
    (low, high) = paired_contrasts(pairs, by=("lr",))
    assert (low.where, high.where) == ((("lr", 1e-3),), (("lr", 1e-2),))
