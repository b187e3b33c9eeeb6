"""How does the best learning rate move with the batch size?"""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis import clipping_regimes, optima
from scaling.analysis.intervals import LEVEL
from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.powerlaws import SEEDS, Law, learning_rate_law
from scaling.contracts.metric import compared_settings, metric_of
from scaling.contracts.words import counted
from scaling.studies import naive_fit
from scaling.studies.claims import NEGATIVE, POSITIVE, Claim, Estimate, Verdict
from scaling.studies.laws_figures import optimal_lr
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where

ORDER = 1
PRECISE = 0.15  # half the width of an exponent's interval that needs no more runs
HYPOTHESES = {"0": 0.0, "1/2": 0.5, "2/3": 2 / 3, "1": 1.0}


def exponent(rows: pd.DataFrame) -> Estimate:
    """The exponent of LR_opt = C batch^beta, of rows that differ in batch, lr and seed only."""
    return _exponent(learning_rate_law(rows))


def _exponent(law: Law) -> Estimate:
    if not law.identified:
        return Estimate.missing(f"no exponent: {law.reason}")
    shown = f"exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to {law.high:.2f}"
    needed = seeds_needed(law)
    enough = f"about {needed:g} seeds, or more batch sizes, for +- {PRECISE:g}"
    if law.over_batches:
        enough = f"more batch sizes for +- {PRECISE:g}; more seeds do not narrow it"
    return Estimate(law.exponent, law.low, law.high, shown, enough if needed > law.seeds else "")


def seeds_needed(law: Law) -> float:
    """The seeds for an exponent within +- 0.15, and at least three; errors fall as 1 / sqrt(n).

    Infinite if the interval is too wide and is over batch sizes (`Law.over_batches`).
    """
    times = ((law.high - law.low) / 2 / PRECISE) ** 2
    if law.over_batches and times > 1:
        return math.inf
    return max(SEEDS, math.ceil(law.seeds * times))


CLAIMS = (
    Claim("The best learning rate grows with the batch size", POSITIVE, exponent),
    Claim("The best learning rate falls with the batch size",
          NEGATIVE, exponent, "phase 2: -0.36 +- 0.54"),
    Claim("The best learning rate grows about in proportion to the batch size",
          (0.8, 1.54), exponent, "phase 2.5: 1.17 +- 0.57"),
    Claim("The best learning rate does not depend on the batch size",
          (-0.1, 0.1), exponent, "phase 3a: beta = 0"),
)  # fmt: skip


def applies(sweep: SweepTables) -> bool:
    """Whether some setting has several batch sizes and learning rates."""
    return any(True for _ in _blocks(sweep.rows))


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The fitted law for each setting other than batch, lr and seed."""
    for title, block, law, best in by_settings(sweep):
        yield f"LR_opt against batch{where(title)}: {_sentence(block, law, best)}"
        yield from _within_regimes(block, title, sweep.flat)


def _sentence(block: pd.DataFrame, law: Law, best: tuple[optima.Optimum, ...]) -> str:
    """The law, the hypotheses inside its interval, its form, and a plain fit."""
    plain_fit = naive_fit.words(block)
    if all(one.status == "flat" for one in best):
        depth = max(one.depth for one in best)
        return (
            f"no optimum to fit; within a factor of 4 in lr of the best, losses rise by at most "
            f"{depth:.2g}{metric_of(block).unit} at every batch size{plain_fit}"
        )
    if not law.identified:
        return f"exponent inconclusive; {law.reason}{plain_fit}"
    inside = [name for name, value in HYPOTHESES.items() if law.contains(value)]
    rest = [name for name in HYPOTHESES if name not in inside]
    text = f"exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to {law.high:.2f}"
    text += f"; contains {', '.join(inside)}" if inside else ""
    text += f"; excludes {', '.join(rest)}" if rest else ""
    return f"{text}{_seeds(law)}{_form(law)}{_unstable(law)}{plain_fit}"


def _seeds(law: Law) -> str:
    """A clause on the variation between seeds; empty if there is nothing to say about it."""
    if not law.between_seeds:
        ratio = _OF_THREE_SEEDS / float(stats.t.ppf((1 + LEVEL) / 2, len(law.optima) - 2))
        return (
            f"; variation between seeds is not included (seeds: {law.seeds}); with three seeds that"
            f" agree it would be, in an interval {ratio:.1f} times as wide as that of one seed"
        )
    if law.seeds_agree < 0.05:
        differ = f"optima differ between seeds (p {law.seeds_agree:.1g})"
        return f"; {differ}, which the interval includes"
    return ""


def _form(law: Law) -> str:
    """The form that predicts held-out batch sizes best, and where it bends."""
    if not law.compared.fits:
        return f"; forms are not compared: {law.compared.reason}"
    best, tied = law.compared.fits[0], law.compared.tied
    used = "; predictions use the power law" if best.name != law.form == "power" else ""
    factor = math.exp(best.left_out)
    text = (
        f"; the {best.name} law predicts held-out batch sizes best (off by a factor of "
        f"{factor:.2f})"
    )
    text += _bend(*law.turn)
    if len(tied) > 1:
        text += f"; it cannot be distinguished from the {' or '.join(tied[1:])} law{used}"
    return text


def _bend(turn: float, low: float, high: float) -> str:
    """A clause on the batch size at which the law bends, if it does; its interval may be open."""
    if math.isnan(turn) or (low == 0 and high == math.inf):
        return ""
    if low == 0:
        return f" and bends below batch {high:.3g}, if at all"
    if high == math.inf:
        return f" and bends above batch {low:.3g}, if at all"
    return f" and bends at batch {turn:.3g} ({low:.3g} to {high:.3g})"


def _unstable(law: Law) -> str:
    if not law.unstable:
        return ""
    runs = counted(law.unstable, "run")
    return f"; {runs} diverged or ended far above the bowl, and only bound the optimum"


def _within_regimes(block: pd.DataFrame, title: str, flat: float | None) -> Iterator[str]:
    """The law of each clipping regime, if there are several."""
    if "clip_percent" not in block or not np.isfinite(block["clip"]).all():
        return
    parts = clipping_regimes.within(block, clipping_regimes.clip_regimes(block))
    if len(parts) < 2:
        return
    named = f"{title}, " if title else ""
    for kind, part in parts.items():
        law = learning_rate_law(part, flat=flat)
        if law.identified:
            yield (
                f"LR_opt against batch ({named}{kind} cells only, since the others are clipped "
                f"differently): exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to "
                f"{law.high:.2f}"
            )


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`optima`, `laws` and `candidates`: the numbers behind the sentences, for each setting."""
    lines: dict[str, list[dict[str, Any]]] = {"optima": [], "laws": [], "candidates": []}
    for title, block, law, best in by_settings(sweep):
        naive = {one.batch: asdict(one) for one in naive_optima(block)}
        for one in best:
            other = naive.get(one.batch, {})
            plain = {key: other.get(key) for key in ("argmin", "three", "whole")}
            lines["optima"].append({"setting": title, **asdict(one), **plain})
        fit = naive_fit.line(naive_fit.best_tried(block))
        plain = {f"plain_{key}": value for key, value in asdict(fit).items()} if fit else {}
        numbers = {key: getattr(law, key) for key in _COLUMNS}
        turns = dict(zip(("turn", "turn_low", "turn_high"), law.turn, strict=True))
        lines["laws"].append({"setting": title, **numbers, **turns, **plain})
        for candidate in law.compared.fits:
            parameters = ", ".join(f"{key}={value:.4g}" for key, value in candidate.parameters)
            scores = {key: getattr(candidate, key) for key in _SCORES}
            lines["candidates"].append(
                {"setting": title, "law": candidate.name, "parameters": parameters, **scores}
            )
    return {name: pd.DataFrame(table) for name, table in lines.items() if table}


# expected half width of the t interval over three seeds, in standard errors of one seed: t of 2
# degrees of freedom, times the mean standard deviation of three normal numbers, over the root of 3
_OF_THREE_SEEDS = 4.303 * 0.886 / math.sqrt(3)
_COLUMNS = (
    "exponent", "low", "high", "identified", "reason", "constant", "seeds", "between_seeds",
    "seeds_agree", "unstable", "form",
)  # fmt: skip
_SCORES = ("aicc", "behind", "log_score", "left_out")


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The law through the optima of the batch sizes."""
    return drawings([optimal_lr], sweep.rows, flat=sweep.flat)


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published claims, judged for each setting other than batch, lr and seed."""
    for title, _, law, _ in by_settings(sweep):
        estimate = _exponent(law)  # the statistic of all claims
        for claim in CLAIMS:
            yield title, claim.weigh(estimate)


class SettingLaw(NamedTuple):
    """The law and the optima of one setting."""

    title: str
    block: pd.DataFrame
    law: Law
    optima: tuple[optima.Optimum, ...]


def by_settings(sweep: SweepTables) -> list[SettingLaw]:
    """The law and the optima of each setting."""
    return [
        SettingLaw(
            title,
            block,
            learning_rate_law(block, flat=sweep.flat),
            optima.optimum(block, flat=sweep.flat),
        )
        for title, block in _blocks(sweep.rows)
    ]


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which both batch and lr vary, or which are a table of optima."""
    for title, block in compared_settings(rows):
        rates = block.groupby("batch")["lr"].nunique()
        if len(rates) > 1 and (rates.max() > 1 or (len(rates) > 2 and block["lr"].nunique() > 1)):
            yield title, block
