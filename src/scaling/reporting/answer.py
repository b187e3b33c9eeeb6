"""The answer of a sweep: best learning rates, their law, how sure they are, and the next step."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.optima import Optimum, optimum
from scaling.analysis.powerlaws import Law
from scaling.contracts.metric import compared_settings
from scaling.studies import law_words, laws
from scaling.studies.claims import Verdict
from scaling.studies.sweep_tables import SweepTables

VERDICTS = ("supported", "contradicted", "inconclusive")  # in the order of a report
SENTENCES = 4  # of studies, if no learning rate was swept


@dataclass(frozen=True)
class Setting:
    """The best learning rates of one setting, and their law if it has several batch sizes."""

    title: str  # empty if the sweep has one setting
    rows: pd.DataFrame
    optima: tuple[Optimum, ...]
    law: Law | None

    @cached_property
    def lowest(self) -> dict[float, float]:
        """The lr tried with the lowest mean loss, by batch size."""
        return {one.batch: one.argmin for one in naive_optima(self.rows)}

    @property
    def drawable(self) -> bool:
        """Whether some run of several learning rates has a loss."""
        return bool(self.lowest)

    @property
    def widest(self) -> float:
        """The largest batch size of the law, for which it predicts as an example."""
        assert self.law is not None
        return float(self.law.optima[-1].batch)


@dataclass(frozen=True)
class NextStep:
    """The next command to run, and the reason; the command is empty if it is not known."""

    why: str
    command: str = ""


@dataclass(frozen=True)
class Answer:
    """The content of the first screen of a report."""

    settings: tuple[Setting, ...]
    headlines: tuple[str, ...]  # of studies that have some
    sentences: tuple[str, ...]  # of the other studies, if no learning rate was swept
    claims: Counter[str]  # verdict -> number of published claims
    caveats: tuple[str, ...]  # the most important first
    next: NextStep

    @property
    def claims_counts(self) -> str:
        """The number of claims with each verdict; empty without claims."""
        return ", ".join(f"{self.claims[word]} {word}" for word in VERDICTS if self.claims[word])

    @property
    def claims_line(self) -> str:
        """The number of claims with each verdict, in a line; empty without claims."""
        return f"Published claims tested here: {self.claims_counts}" if self.claims_counts else ""

    def record(self) -> dict[str, Any]:
        """The numbers of the answer for `answer.json`; missing numbers are None."""
        return {
            "settings": [_setting_record(one) for one in self.settings],
            "headlines": list(self.headlines),
            "sentences": list(self.sentences),
            "claims": dict(self.claims),
            "caveats": list(self.caveats),
            "next": vars(self.next),
        }


def settings_of(sweep: SweepTables) -> tuple[Setting, ...]:
    """The settings in which the learning rate was swept, with their optima and laws."""
    found = {
        one.title: Setting(one.title, one.block, one.optima, one.law)
        for one in laws.by_settings(sweep)
    }
    for title, block in compared_settings(sweep.rows):
        if title not in found and block.groupby("batch")["lr"].nunique().max() > 1:
            found[title] = Setting(title, block, optimum(block, flat=sweep.flat), None)
    return tuple(found.values())


def answer(
    settings: Sequence[Setting],
    sentences: Sequence[str],
    verdicts: Sequence[tuple[str, Verdict]],
    caveats: Sequence[str],
    next_step: NextStep,
    *,
    headlines: Sequence[str] = (),
    over: bool = False,
) -> Answer:
    """Gather the answer of a sweep.

    Args:
        settings: from `settings_of`.
        sentences: of the studies.
        verdicts: of the studies, each with the title of its setting.
        caveats: the most important first.
        next_step: from `scaling.reporting.next_step`.
        headlines: of studies that have some.
        over: whether a law over several axes was asked for, whose sentences come first.
    """
    first = tuple(sentences[:SENTENCES]) if over or not settings else ()
    counts = Counter(str(verdict.word) for _, verdict in verdicts)
    return Answer(tuple(settings), tuple(headlines), first, counts, tuple(caveats), next_step)


def _setting_record(setting: Setting) -> dict[str, Any]:
    best = [
        {
            **{key: _finite(getattr(one, key)) for key in ("batch", "lr", "low", "high", "loss")},
            "lowest_tried": _finite(setting.lowest.get(one.batch, math.nan)),
            **{key: getattr(one, key) for key in ("status", "reason", "seeds")},
        }
        for one in setting.optima
    ]
    return {"setting": setting.title, "best": best, "law": _law_record(setting)}


def _law_record(setting: Setting) -> dict[str, Any] | None:
    law = setting.law
    if law is None:
        return None
    numbers = ("exponent", "low", "high", "constant")
    record: dict[str, Any] = {key: _finite(getattr(law, key)) for key in numbers}
    record |= {key: getattr(law, key) for key in ("identified", "reason", "form", "seeds")}
    if law.identified:
        lr, low, high = law_words.predicted(law, setting.widest)
        record |= {"formula": law_words.form_formula(law)}
        record |= {"predicted": {"batch": setting.widest, "lr": lr, "low": low, "high": high}}
    return record


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
