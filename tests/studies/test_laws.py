"""What a sweep says of the law, in sentences that its rows support."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest

from scaling import results
from scaling.evidence import Evidence
from scaling.studies import laws

KEPT = Path(__file__).parents[2] / "notebooks" / "data"


def sweep(seed: int = 0, noise: float = 0.05, **columns) -> pd.DataFrame:
    rows = planted.bowl(np.random.default_rng(seed), "wide", noise=noise).rows
    fixed = {"model": "m", "data": "d", "optimizer": "o", "protocol": "steps", "duration": 10}
    return rows.assign(**fixed | columns)


def words(rows: pd.DataFrame) -> dict[str, str]:
    return {verdict.sentence: verdict.word for _, verdict in laws.verdicts(Evidence(rows))}


def test_a_planted_law_is_told_with_its_interval_and_judged():
    draw = planted.bowl(np.random.default_rng(0), "wide", noise=0.02)
    (sentence,) = laws.sentences(Evidence(sweep(noise=0.02)))
    low, high = map(float, re.search(r"95 % interval (\S+) to ([\d.-]+)", sentence).groups())
    assert low - 0.01 <= draw.exponent <= high + 0.01
    judged = words(sweep(noise=0.02))
    assert judged["The best learning rate grows with the batch size"] == "holds"
    assert judged["The best learning rate falls with the batch size"] == "fails"


def test_hypotheses_are_held_or_excluded_by_the_interval():
    (sentence,) = laws.sentences(Evidence(sweep(noise=0.02)))
    named = re.findall(r"holds ([^;]*)|excludes ([^;]*)", sentence)
    told = {name for pair in named for part in pair for name in part.split(", ") if name}
    assert told == set(laws.HYPOTHESES)


def test_each_setting_has_its_own_law():
    both = pd.concat([sweep(0, optimizer="sgd"), sweep(1, optimizer="adamw")])
    assert [re.search(r"optimizer=(\w+)", s)[1] for s in laws.sentences(Evidence(both))] == [
        "adamw",
        "sgd",
    ]


@pytest.mark.parametrize(
    ("name", "reason"), [("phase_2", "seeds: 1"), ("phase_2_5", "seeds: 1"), ("phase_3a", ": 2;")]
)
def test_the_published_designs_cannot_tell_an_exponent(name, reason):
    rows = results.read(KEPT / f"{name}.csv")
    (sentence,) = laws.sentences(Evidence(rows))
    assert "cannot tell an exponent" in sentence
    assert reason in sentence
    assert set(words(rows).values()) == {"cannot tell"}


def test_joint_excludes_proportion_and_cannot_tell_the_rest():
    rows = results.read(KEPT / "joint.csv")
    found = [(title, v.sentence, v.word) for title, v in laws.verdicts(Evidence(rows))]
    assert len({title for title, _, _ in found}) == 4
    for _, sentence, word in found:
        assert word == ("fails" if "proportion" in sentence else "cannot tell")


def test_a_sweep_of_one_lr_is_not_asked():
    assert not laws.applies(Evidence(results.read(KEPT / "phase_3b.csv")))
    assert laws.applies(Evidence(results.read(KEPT / "phase_3a.csv")))
