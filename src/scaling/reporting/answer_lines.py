"""The answer of a sweep as lines of text, for the terminal and for report.txt."""

import math
from collections.abc import Iterable, Iterator, Sequence

from scaling.analysis.optima import Optimum
from scaling.analysis.powerlaws import Law
from scaling.contracts.words import typed, wrapped
from scaling.reporting.answer import Answer, Setting
from scaling.reporting.optimum_words import best_lr, marks_used, shortest
from scaling.studies import law_words

COLUMNS = 100
MOST = 7  # lines of batch sizes or settings, and of headlines


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
        known = len(same) == 1 and not math.isnan(same[0].low) and not math.isnan(tried)
        lowest = f"lowest loss tried at {tried:.3g}" if known else ""
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
        best = ", ".join(f"{shortest(o)} at {o.batch:g}" for o in one.optima)
        text = f"  {one.title:<{width}}  {best}"
        if one.law and one.law.identified:
            exponent = law_words.span(one.law.exponent, one.law.low, one.law.high)
            text += f"; {law_words.formula(one.law)} {exponent[exponent.index('(') :]}"
        elif one.law:
            reasons.setdefault(one.law.reason, []).append(one.title)
        yield text
    if len(settings) > most:
        yield f"  and {len(settings) - most} more settings on the page"
    marks = marks_used(shortest(o) for one in settings[:most] for o in one.optima)
    yield from (f"  {line}" for line in marks)
    for reason, titles in list(reasons.items())[:2]:
        yield f"No law for {'; '.join(titles)}: {reason}"
