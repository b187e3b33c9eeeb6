"""A sentence, a statistic with an interval, and the verdict: holds, fails, or cannot tell."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Word = Literal["holds", "fails", "cannot tell"]


@dataclass(frozen=True)
class Estimate:
    """A statistic of the tables, with an interval; nan where the tables do not support one."""

    value: float
    low: float
    high: float
    shown: str  # the numbers as a reader wants them, with their unit
    would_tell: str = ""  # what to measure where this is not enough

    @classmethod
    def missing(cls, reason: str, would_tell: str = "") -> "Estimate":
        """None, and why."""
        return cls(math.nan, math.nan, math.nan, reason, would_tell)


@dataclass(frozen=True)
class Claim:
    """A sentence that says that a statistic lies in a region."""

    sentence: str
    region: tuple[float, float]  # where the statistic lies if the sentence is true
    statistic: Callable[[pd.DataFrame], Estimate]  # of rows
    source: str = ""  # who claimed it

    def judge(self, rows: pd.DataFrame) -> "Verdict":
        """Hold the sentence against the rows of a sweep."""
        return self.weigh(self.statistic(rows))

    def weigh(self, found: Estimate) -> "Verdict":
        """Hold the sentence against its statistic.

        It holds if the whole interval lies in the region, fails if no part of it does, and else
        the rows cannot tell: as in a test of equivalence (Schuirmann, 1987), absence of evidence
        is never a `holds`.
        """
        low, high = self.region
        word: Word = "cannot tell"
        if low <= found.low and found.high <= high:
            word = "holds"
        elif found.high < low or found.low > high:
            word = "fails"
        would_tell = found.would_tell if word == "cannot tell" else ""
        return Verdict(self.sentence, word, found.shown, would_tell, self.source)


@dataclass(frozen=True)
class Verdict:
    """What the tables say of a claim."""

    sentence: str
    word: Word
    numbers: str
    would_tell: str
    source: str
