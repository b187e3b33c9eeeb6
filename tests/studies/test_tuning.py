"""Sentences on the cost of a wrong lr and the gain from a larger batch."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from races import CRITICAL, LEAST, race
from rates import within

from scaling import results
from scaling.studies import tuning
from scaling.studies.sweep_tables import SweepTables

KEPT = Path(__file__).parents[2] / "notebooks" / "data"
HALF_DECADE = math.log(10) / 2
CHORD = HALF_DECADE * math.log(3) / 2  # mean cost of a factor 3 over a bowl z^2, by its chords

FIXED = {
    "model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 200, "clip": 1.0
}  # fmt: skip


def sweep(draw: int = 0, *, trend: float, noise: float = 0.01, seeds: int = 4, **columns):
    """Bowls in log lr about 1e-2 whose height grows by `trend` with each doubling of the batch."""
    draws = np.random.default_rng(draw)
    records = [
        {
            "batch": 8 * 2**i, "lr": 1e-2 * math.exp(j * HALF_DECADE), "seed": seed,
            "val_loss": 2 + (0.2 + trend * i) * (j * HALF_DECADE) ** 2 + noise * draws.normal(),
        }
        for i in range(4) for j in range(-2, 3) for seed in range(seeds)
    ]  # fmt: skip
    fixed = {"status": "done", "uniform_loss": 5.0}
    return pd.DataFrame(records).assign(**FIXED | fixed | columns)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.?\d*(?:e-?\d+)?", text)]


def test_costs_are_reported_at_each_batch_with_their_intervals():
    (said,) = tuning.sentences(SweepTables(sweep(trend=0.1)))
    costs = re.findall(r"([\d.]+) \(([\d.]+) to ([\d.]+)\) at (\d+)", said)
    assert [int(batch) for *_, batch in costs] == [8, 16, 32, 64]
    for i, (cost, low, high, _) in enumerate(costs):
        assert float(cost) == pytest.approx((0.2 + 0.1 * i) * CHORD, abs=0.02)
        assert float(low) < float(cost) < float(high)
    assert "costs more at larger batch sizes" in said
    assert "at equal steps" in said


@pytest.mark.parametrize(
    ("trend", "word"), [(0.1, "supported"), (-0.05, "contradicted"), (0.0, "inconclusive")]
)
def test_whether_a_wrong_lr_costs_more_at_larger_batch_sizes_is_judged(trend, word):
    ((title, verdict),) = tuning.verdicts(SweepTables(sweep(1, trend=trend)))
    assert (title, verdict.word) == ("", word)
    assert ("seeds" in verdict.would_tell) is (word == "inconclusive")
    (said,) = tuning.sentences(SweepTables(sweep(1, trend=trend)))
    assert ("it is not clear" in said) is (word == "inconclusive")


def test_the_interval_of_the_trend_covers_the_planted_one_at_its_rate():
    true = 0.1 * CHORD
    found = [tuning.trend(sweep(draw, trend=0.1)) for draw in range(200)]
    assert within(sum(one.low <= true <= one.high for one in found), 200, 0.95)
    assert np.mean([one.value for one in found]) == pytest.approx(true, abs=5e-4)


def test_each_setting_has_its_own_sentence():
    rows = pd.concat([sweep(trend=0.0, clip=clip) for clip in (0.5, math.inf)])
    said = list(tuning.sentences(SweepTables(rows)))
    assert [re.search(r"\(clip=(\w+\.?\w*)\)", one)[1] for one in said] == ["0.5", "inf"]
    assert len(list(tuning.verdicts(SweepTables(rows)))) == 2


def test_a_best_lr_at_the_edge_is_not_used():
    rows = sweep(trend=0.1)
    (said,) = tuning.sentences(SweepTables(rows[(rows["batch"] > 8) | (rows["lr"] < 2e-2)]))
    assert "not known at batch 8: the best lr is the highest tried" in said
    assert re.findall(r"at (\d+)[,;]", said) == ["16", "32", "64"]
    (none,) = tuning.sentences(SweepTables(rows[rows["lr"] < 2e-2]))
    assert "cost inconclusive" in none
    assert none.endswith("not known at batch 8, 16, 32, 64: the best lr is the highest tried")


def test_losses_above_the_uniform_one_are_reported_to_count_as_that():
    rows = sweep(trend=0.0)
    rows.loc[(rows["batch"] == 32) & (rows["lr"] > 2e-2), ["status", "val_loss"]] = "diverged", None
    (said,) = tuning.sentences(SweepTables(rows))
    assert "at least this at batch 32: losses are capped at the uniform loss, 5.000" in said
    (none,) = tuning.sentences(SweepTables(sweep(trend=0.0, uniform_loss=1.9)))
    assert "not known at batch 8, 16, 32, 64: no lr ends below the uniform loss, 1.900" in none
    (unknown,) = tuning.sentences(SweepTables(rows.drop(columns="uniform_loss")))
    assert "cost inconclusive; ceiling=None without uniform_loss" in unknown


def test_fewer_than_three_seeds_have_no_interval():
    (said,) = tuning.sentences(SweepTables(sweep(trend=0.1, seeds=2)))
    assert said.endswith("seeds: 2, and an interval needs 3")
    assert " to " not in said.split("each batch:")[1]
    ((_, verdict),) = tuning.verdicts(SweepTables(sweep(trend=0.1, seeds=2)))
    assert (verdict.word, verdict.would_tell) == ("inconclusive", "three seeds of every cell")


def test_a_cost_that_may_be_zero_is_reported_as_such():
    rows = sweep(3, trend=0.0, noise=0.01)
    rows.loc[rows["batch"] == 16, "val_loss"] += np.random.default_rng(0).normal(size=20)
    (said,) = tuning.sentences(SweepTables(rows))
    assert "may cost nothing at batch 16" in said


def test_the_study_does_not_apply_to_fewer_than_three_lr():
    rows = sweep(trend=0.1)
    assert tuning.applies(SweepTables(rows))
    assert not tuning.applies(SweepTables(rows[rows["lr"].between(5e-3, 4e-2)]))
    assert not tuning.applies(SweepTables(results.read(KEPT / "phase_3b.csv")))
    assert not tuning.applies(SweepTables(rows.iloc[:0]))
    assert not tuning.applies(SweepTables(rows.assign(status="failed")))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("phase_2", "no lr ends below the uniform loss, 4.174"),
        (
            "phase_2_5",
            "cost inconclusive; not known at batch 32, 64, 128, 256: the best lr",
        ),
        ("phase_3a", "not known at batch 128, 256: the best lr is the lowest tried"),
        ("quickstart", "it is not clear whether this changes with the batch"),
        ("joint", "it is not clear whether this changes with the batch"),
        ("fixed_examples", "at equal examples"),
    ],
)
def test_the_example_rows_are_reported_with_their_gaps(name, said):
    sentences = list(tuning.sentences(SweepTables(results.read(KEPT / f"{name}.csv"))))
    assert len(sentences) == (4 if name == "joint" else 1)
    assert all(said in one for one in sentences)


def runs(jitter: float = 0.05, **settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, losses = race(jitter=jitter, batches=(4, 8, 16, 32, 64), **settings)
    return rows.assign(**FIXED), losses


def test_the_trade_off_is_reported_with_its_target_its_steps_and_its_critical_batch():
    (said,) = tuning.tradeoff_sentences(*runs())
    target = float(re.search(r"training loss of ([\d.]+),", said)[1])
    taken = math.log(2 / (target - 2))  # decay times, from a loss of 4 towards 2
    for steps, batch in re.findall(r"(\d+) at (\d+)", said):
        true = LEAST * (1 + CRITICAL / int(batch)) * taken
        assert float(steps) == pytest.approx(true, rel=0.15)
    planted = {"S_min": LEAST * taken, "E_min": LEAST * CRITICAL * taken, "loss,": CRITICAL}
    for name, true in planted.items():
        _, low, high = numbers(said.split(name)[1])[:3]
        assert low < true < high
    saved = LEAST * (1 + CRITICAL / 64) / (LEAST * (1 + CRITICAL / 4))
    steps, examples = numbers(said.split("16 times the batch takes")[1])[:2]
    assert (steps, examples) == pytest.approx((saved, 16 * saved), rel=0.15)


def test_the_interval_of_the_critical_batch_covers_at_its_rate():
    found = [next(tuning.tradeoff_sentences(*runs(draw=draw))) for draw in range(20)]
    ends = [numbers(one.split("loss,")[1])[1:3] for one in found if "critical batch of" in one]
    assert len(ends) >= 18
    assert sum(low <= CRITICAL <= high for low, high in ends) >= len(ends) - 4  # 99 % of draws


def test_each_setting_has_its_own_target():
    rows, losses = runs()
    other = rows.assign(clip=math.inf, run=rows["run"] + " free")
    free = losses.assign(run=losses["run"] + " free", train_loss=losses["train_loss"] + 1)
    said = list(tuning.tradeoff_sentences(pd.concat([rows, other]), pd.concat([losses, free])))
    targets = [float(re.search(r"training loss of ([\d.]+),", one)[1]) for one in said]
    assert [re.search(r"clip=(\w+)", one)[1] for one in said] == ["1", "inf"]
    assert targets[1] == pytest.approx(targets[0] + 1, abs=1e-3)


def test_a_missing_critical_batch_has_a_reason():
    rows, losses = runs()
    (few,) = tuning.tradeoff_sentences(rows[rows["batch"] < 32], losses)
    assert few.endswith(
        "critical batch inconclusive: 3 batch sizes reach the target on all seeds; 4 needed"
    )
    (edge,) = tuning.tradeoff_sentences(rows[rows["lr"] < 5e-2], losses)
    assert "at most" in edge
    assert "times the steps" not in edge
    assert edge.endswith(
        "batch 4, 8, 16, 32, 64: the best lr is the highest tried: steps are an upper bound"
    )
    rows.loc[rows["batch"] == 4, "status"] = "diverged"
    (left,) = tuning.tradeoff_sentences(rows, losses)
    assert "left out: batch 4, where no lr stays at this loss on every seed" in left
    (none,) = tuning.tradeoff_sentences(rows[rows["batch"] < 16], losses)
    assert none.endswith("batch sizes that reach the target on all seeds: 1")
    (twice,) = tuning.tradeoff_sentences(pd.concat([rows, rows.assign(study="t")]), losses)
    assert "inconclusive; two runs share batch, lr and seed" in twice


def test_rows_without_losses_have_no_trade_off():
    rows, losses = runs()
    assert not list(tuning.tradeoff_sentences(rows, pd.DataFrame()))
    assert not list(tuning.tradeoff_sentences(rows[rows["batch"] == 8], losses))
    assert not list(tuning.tradeoff_sentences(rows.assign(run="other"), losses))
