"""A claim holds only if the whole interval says so."""

import math

import pandas as pd
import pytest

from scaling.studies.claims import Claim, Estimate

ROWS = pd.DataFrame()


def claim(low: float, high: float, region=(0.0, 1.0)) -> Claim:
    found = Estimate((low + high) / 2, low, high, "shown", "more seeds")
    return Claim("It lies there", region=region, statistic=lambda rows: found, source="them")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.2, 0.8, "supported"),
        (0.0, 1.0, "supported"),
        (-0.5, -0.1, "contradicted"),
        (1.1, 2.0, "contradicted"),
        (-0.1, 0.5, "inconclusive"),
        (0.5, 1.5, "inconclusive"),
        (-1.0, 2.0, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
        (-math.inf, math.inf, "inconclusive"),
    ],
)
def test_the_interval_decides(low, high, word):
    verdict = claim(low, high).judge(ROWS)
    assert verdict.word == word
    assert verdict.numbers == "shown"
    assert verdict.would_tell == ("more seeds" if word == "inconclusive" else "")


def test_an_unbounded_region_can_contain_a_bounded_interval():
    assert claim(0.1, 5.0, region=(0.0, math.inf)).judge(ROWS).word == "supported"


def test_an_estimate_that_is_not_possible_has_a_reason():
    missing = Claim("It grows", (0.0, 1.0), lambda rows: Estimate.missing("no seeds", "three"))
    verdict = missing.judge(ROWS)
    assert (verdict.word, verdict.numbers, verdict.would_tell) == (
        "inconclusive",
        "no seeds",
        "three",
    )
