"""The answer of a sweep: best learning rates, their law, how sure they are, and the next step."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.optima import Optimum, optimum
from scaling.analysis.powerlaws import Law
from scaling.contracts.metric import compared_settings
from scaling.contracts.words import typed, wrapped
from scaling.studies import law_words, laws
from scaling.studies.claims import Verdict
from scaling.studies.sweep_tables import SweepTables

VERDICTS = ("supported", "contradicted", "inconclusive")  # in the order of a report
SENTENCES = 4  # of studies, if no learning rate was swept
NO_BOWL = "~"  # before a best lr without a fitted bowl
MARKS = {  # before a best lr -> what it means
    NO_BOWL: "no bowl fits on both sides: the interval ends at an lr that is worse or diverged",
    ">": "lower end of an interval without an upper end: the best lr may lie above the grid",
    "<": "upper end of an interval without a lower end: the best lr may lie below the grid",
}


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


def has_bowl(one: Optimum) -> bool:
    """Whether a fitted bowl with both its sides in the grid gives the interval of an optimum."""
    return one.status == "interior" and one.reason.startswith("a bowl through ")


def marks_used(texts: Iterable[str]) -> list[str]:
    """A line on each mark that begins one of the best learning rates."""
    first = {text[:1] for text in texts}
    return [f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in first]


def best_lr(one: Optimum) -> str:
    """The best lr of a batch size with its interval, or why it is not known."""
    if one.status == "interior":
        mark = "" if has_bowl(one) else NO_BOWL
        return mark + law_words.lr_span(one.lr, one.low, one.high)
    if one.status == "high_edge":
        return f"above {one.low:.2g}, no upper end"
    if one.status == "low_edge":
        return f"below {one.high:.2g}, no lower end"
    if one.status == "flat":
        return f"no best one: {one.reason}"
    return f"{one.status}: {one.reason}"


def lines(answer: Answer) -> list[str]:
    """The answer in few lines of at most 100 columns; those of studies and a command are longer."""
    most = MOST - len(answer.headlines)
    if answer.sentences or not answer.settings:
        parts = [*answer.sentences]
    elif len(answer.settings) == 1:
        parts = _short_lines(_one_setting(answer.settings[0], most))
    else:
        parts = _short_lines(_several_settings(answer.settings, most))
    found = answer.headlines
    parts = [*parts, *found] if answer.settings else [*found, *parts]
    step = _short_lines([f"Next: {answer.next.why}"] if answer.next.why else [])
    if answer.next.command:
        step.append(f"  {answer.next.command}")
    claims = [answer.claims_line] if answer.claims_line and not answer.settings else []
    return [*parts, *claims, *step]


COLUMNS = 100
MOST = 7  # lines of batch sizes or settings, and of headlines


def _short_lines(parts: Iterable[str]) -> list[str]:
    return [line for part in parts for line in wrapped(part, COLUMNS)]


def _one_setting(setting: Setting, most: int) -> Iterator[str]:
    yield "Best learning rate of each batch size, with its 95 % interval:"
    by_text: dict[str, list[Optimum]] = {}
    flat = [one for one in setting.optima if one.status == "flat"]
    for one in setting.optima:
        shown = max(flat, key=lambda other: other.depth) if one.status == "flat" else one
        by_text.setdefault(best_lr(shown), []).append(one)
    texts = list(by_text.items())
    for text, same in texts[:most]:
        batches = ", ".join(typed(float(one.batch)) for one in same)
        tried = setting.lowest.get(same[0].batch, math.nan)
        alone = len(same) == 1 and not math.isnan(same[0].low)
        lowest = f"lowest loss tried at {tried:.3g}" if alone and tried == tried else ""
        yield f"  batch {batches:>4}  {text:<28}  {lowest}".rstrip()
    if len(texts) > most:
        yield f"  and {len(texts) - most} more on the page"
    yield from (f"  {line}" for line in marks_used(by_text))
    if setting.law is not None:
        yield from _law(setting, setting.law)


def _law(setting: Setting, law: Law) -> Iterator[str]:
    if not law.identified:
        yield f"Law of the batch size B: inconclusive; {law.reason}"
        return
    best = law_words.lr_span(*law_words.predicted(law, setting.widest))
    yield f"Law: {law_words.form_formula(law)}, so {best} at batch {typed(setting.widest)}"
    exponent = law_words.span(law.exponent, law.low, law.high)
    yield f"  exponent {exponent} from {law_words.basis(law)}"
    if form := law_words.form_used(law):
        yield f"  predicted by {form}"
    yield f"How sure: {law_words.direction(law)}"


def _several_settings(settings: Sequence[Setting], most: int) -> Iterator[str]:
    yield "Best learning rate of each batch size and its law, by setting (exponent: 95 % interval):"
    reasons: dict[str, list[str]] = {}
    width = max(len(one.title) for one in settings[:most])
    for one in settings[:most]:
        best = ", ".join(f"{_short(o)} at {o.batch:g}" for o in one.optima)
        text = f"  {one.title:<{width}}  {best}"
        if one.law and one.law.identified:
            exponent = law_words.span(one.law.exponent, one.law.low, one.law.high)
            text += f"; {law_words.formula(one.law)} {exponent[exponent.index('(') :]}"
        elif one.law:
            reasons.setdefault(one.law.reason, []).append(one.title)
        yield text
    if len(settings) > most:
        yield f"  and {len(settings) - most} more settings on the page"
    marks = marks_used(_short(o) for one in settings[:most] for o in one.optima)
    yield from (f"  {line}" for line in marks)
    for reason, titles in list(reasons.items())[:2]:
        yield f"No law for {'; '.join(titles)}: {reason}"


def _short(one: Optimum) -> str:
    """The best lr of a batch size, or the known end of its interval; `-` if nothing is known."""
    return {
        "interior": f"{'' if has_bowl(one) else NO_BOWL}{one.lr:.2g}",
        "high_edge": f">{one.low:.2g}",
        "low_edge": f"<{one.high:.2g}",
    }.get(one.status, "-")


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
