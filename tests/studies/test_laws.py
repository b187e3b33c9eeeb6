"""Sentences on the law that the rows of a sweep support."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
from rows import published

from scaling import learning_rate_law, results
from scaling.analysis import powerlaws
from scaling.studies import laws
from scaling.studies.sweep_tables import SweepTables

KEPT = Path(__file__).parents[2] / "notebooks" / "data"


def sweep(seed: int = 0, noise: float = 0.05, **columns) -> pd.DataFrame:
    rows = planted.bowl(np.random.default_rng(seed), "wide", noise=noise).rows
    fixed = {"model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 10}
    return rows.assign(**fixed | columns)


def words(rows: pd.DataFrame) -> dict[str, str]:
    return {verdict.sentence: verdict.word for _, verdict in laws.verdicts(SweepTables(rows))}


def test_a_planted_law_is_reported_with_its_interval_and_judged():
    draw = planted.bowl(np.random.default_rng(0), "wide", noise=0.02)
    (sentence,) = laws.sentences(SweepTables(sweep(noise=0.02)))
    low, high = map(float, re.search(r"95 % interval (\S+) to ([\d.-]+)", sentence).groups())
    assert low - 0.01 <= draw.exponent <= high + 0.01
    judged = words(sweep(noise=0.02))
    assert judged["The best learning rate grows with the batch size"] == "supported"
    assert judged["The best learning rate falls with the batch size"] == "contradicted"


def test_hypotheses_are_held_or_excluded_by_the_interval():
    (sentence,) = laws.sentences(SweepTables(sweep(noise=0.02)))
    named = re.findall(r"contains ([^;]*)|excludes ([^;]*)", sentence)
    told = {name for pair in named for part in pair for name in part.split(", ") if name}
    assert told == set(laws.HYPOTHESES)


def test_each_setting_has_its_own_law():
    both = pd.concat([sweep(0, optimizer="sgd"), sweep(1, optimizer="adamw")])
    assert [re.search(r"optimizer=(\w+)", s)[1] for s in laws.sentences(SweepTables(both))] == [
        "adamw",
        "sgd",
    ]


def test_the_seeds_that_are_asked_for_make_the_interval_about_as_narrow_as_promised():
    halves = []
    for draw in range(10):
        rows = planted.bowl(
            np.random.default_rng([4, draw]), "moving", noise=0.3, seeds=12, batches=5
        ).rows
        needed = laws.seeds_needed(learning_rate_law(rows[rows["seed"] < 3]))
        if 3 < needed <= 12:
            law = learning_rate_law(rows[rows["seed"] < needed])
            halves.append((law.high - law.low) / 2)
    assert len(halves) >= 4
    assert max(halves) < 1.2 * laws.PRECISE
    assert np.median(halves) < laws.PRECISE


def test_no_seeds_are_promised_to_narrow_an_interval_over_batch_sizes():
    rows = results.read(KEPT / "quickstart.csv")
    law = learning_rate_law(rows)
    assert law.over_batches
    assert laws.seeds_needed(law) == math.inf
    assert laws.exponent(rows).would_tell.startswith("more batch sizes for +- 0.15; more")
    assert not learning_rate_law(sweep()).over_batches


@pytest.mark.parametrize(
    ("name", "reason"), [("phase_2_5", "rise above the optimum"), ("phase_3a", ": 2;")]
)
def test_the_published_designs_give_no_exponent(name, reason):
    rows = results.read(KEPT / f"{name}.csv")
    (sentence,) = laws.sentences(SweepTables(rows))
    assert "exponent inconclusive" in sentence
    assert reason in sentence
    assert set(words(rows).values()) == {"inconclusive"}


def test_joint_excludes_proportion_and_finds_growth_where_runs_are_clipped():
    rows = results.read(KEPT / "joint.csv")
    found = [(title, v.sentence, v.word) for title, v in laws.verdicts(SweepTables(rows))]
    assert len({title for title, _, _ in found}) == 4
    for title, sentence, word in found:
        if title == "clip=1.25":  # losses do not clearly rise above the optimum
            assert word == "inconclusive"
        elif "proportion" in sentence:
            assert word == "contradicted"
        elif "does not depend" in sentence:
            assert word == "inconclusive"
        elif title in ("clip=0.2", "clip=0.65"):
            assert word == ("supported" if "grows" in sentence else "contradicted")
        else:
            assert word == "inconclusive"


def test_the_study_does_not_apply_to_a_sweep_of_one_lr():
    assert not laws.applies(SweepTables(results.read(KEPT / "phase_3b.csv")))
    assert laws.applies(SweepTables(results.read(KEPT / "phase_3a.csv")))


def test_if_all_losses_are_flat_there_is_no_law():
    rows = results.read(KEPT / "phase_2.csv")
    (sentence,) = laws.sentences(SweepTables(rows))
    assert "no optimum to fit; within a factor of 4 in lr of the best, losses rise by" in sentence
    assert set(words(rows).values()) == {"inconclusive"}


def test_the_result_of_a_plain_analysis_is_shown_beside():
    rows = published("phase_2_optimal_lr").assign(
        study="s", status="done", seed=0, clip=np.inf, model="m", data="d", optimizer="o",
        protocol="steps", duration=1,
    )  # fmt: skip
    (sentence,) = laws.sentences(SweepTables(rows))
    assert "exponent inconclusive; learning rates per batch size: 1" in sentence
    assert "a plain fit of the 7 best lr tried" in sentence
    assert "-0.36 +- 0.69, R^2 0.26" in sentence


def test_seeds_that_move_the_optimum_are_reported():
    moving = next(
        draw for draw in (planted.bowl(np.random.default_rng(n), "moving") for n in range(50))
        if draw.moves == "seed"
    )  # fmt: skip
    fixed = {"model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 10}
    assert "optima differ between seeds" in "".join(
        laws.sentences(SweepTables(moving.rows.assign(**fixed)))
    )
    assert "optima differ" not in "".join(laws.sentences(SweepTables(sweep(noise=0.02))))


def test_laws_within_a_regime_are_separate_from_the_law_across():
    rows = sweep(noise=0.02, study="s", run="r", clip_coefficient_cv=0.1, update_norm=1.0)
    rows["run"] = [f"r{i}" for i in range(len(rows))]
    same = rows.assign(clip_percent=50.0)
    assert len(list(laws.sentences(SweepTables(same)))) == 1
    free = rows["lr"] > rows["lr"].quantile(0.8)
    apart = rows.assign(clip_percent=np.where(free, 0.0, 100.0))
    _, within = laws.sentences(SweepTables(apart))  # the few that are free have no optimum inside
    law = powerlaws.learning_rate_law(rows[~free])
    assert "(saturated cells only" in within
    assert f"exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to {law.high:.2f}" in within


def test_tables_give_each_optimum_beside_what_plain_analyses_call_best():
    tables = laws.tables(SweepTables(results.read(KEPT / "joint.csv")))
    assert len(tables["optima"]) == 12
    assert set(tables["optima"]["status"]) == {"interior", "high_edge"}
    assert tables["optima"]["argmin"].isin([0.003, 0.01]).all()
    assert tables["laws"]["identified"].tolist() == [True, True, False, True]


def test_the_reason_why_laws_are_not_compared_is_reported():
    said = "\n".join(laws.sentences(SweepTables(results.read(KEPT / "joint.csv"))))
    few = "fewer than 5 batch sizes have their fitted minimum inside the grid"
    assert said.count(f"forms are not compared: {few}") == 3
