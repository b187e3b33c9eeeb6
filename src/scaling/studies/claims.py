"""Published claims, the statistics that decide them, and their verdicts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Word = Literal["supported", "contradicted", "inconclusive"]
POSITIVE, NEGATIVE = (0.0, math.inf), (-math.inf, 0.0)  # regions of differences
LARGER, SMALLER = (1.0, math.inf), (0.0, 1.0)  # regions of factors


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval; nan if the tables do not determine it."""

    value: float
    low: float
    high: float
    shown: str  # the numbers with their units, as text
    would_tell: str = ""  # what to measure if the interval is too wide

    @classmethod
    def missing(cls, reason: str, would_tell: str = "") -> "Estimate":
        """An estimate without a value, and the reason."""
        return cls(math.nan, math.nan, math.nan, reason, would_tell)


@dataclass(frozen=True)
class Claim:
    """A sentence that is true if a statistic lies in a region."""

    sentence: str
    region: tuple[float, float]  # closed; contains the statistic if the sentence is true
    statistic: Callable[[pd.DataFrame], Estimate]  # from rows
    source: str = ""  # who claims it

    def judge(self, rows: pd.DataFrame) -> "Verdict":
        """Judge the sentence from the rows of a sweep."""
        return self.weigh(self.statistic(rows))

    def weigh(self, estimate: Estimate) -> "Verdict":
        """Judge the sentence from its statistic.

        It is supported if the whole interval is inside the region and contradicted if all of it is
        outside. Otherwise the verdict is `inconclusive`: as in an equivalence test (Schuirmann,
        1987), absence of evidence never means `supported`.
        """
        low, high = self.region
        word: Word = "inconclusive"
        if low <= estimate.low and estimate.high <= high:
            word = "supported"
        elif estimate.high < low or estimate.low > high:
            word = "contradicted"
        would_tell = estimate.would_tell if word == "inconclusive" else ""
        interval = estimate.value, estimate.low, estimate.high
        shown = estimate.shown, would_tell, self.source
        return Verdict(self.sentence, word, *shown, interval, self.region)


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict and the numbers behind it."""

    sentence: str
    word: Word
    numbers: str
    would_tell: str
    source: str
    interval: tuple[float, float, float] = (math.nan,) * 3  # value, low, high
    region: tuple[float, float] = (-math.inf, math.inf)  # in which the claim is true
