"""How does the best learning rate move with the batch size?"""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis import clipping_regimes, law_selection, optima, powerlaws
from scaling.contracts.settings import by_setting
from scaling.studies import naive_fit
from scaling.studies.claims import NEGATIVE, POSITIVE, Claim, Estimate, Verdict
from scaling.studies.laws_figures import optimal_lr
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where

ORDER = 1
HYPOTHESES = {"0": 0.0, "1/2": 0.5, "2/3": 2 / 3, "1": 1.0}


def exponent(rows: pd.DataFrame) -> Estimate:
    """The exponent of LR_opt = C batch^beta, for rows that differ only in batch, lr and seed."""
    law = powerlaws.learning_rate_law(rows)
    if not law.identified:
        return Estimate.missing(f"no exponent: {law.reason}")
    shown = f"exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to {law.high:.2f}"
    width = law.high - law.low
    seeds = math.ceil(rows["seed"].nunique() * (width / 0.2) ** 2)  # errors fall as 1 / sqrt(runs)
    enough = f"about {seeds} seeds, or more batch sizes, for +- 0.1"
    return Estimate(law.exponent, law.low, law.high, shown, enough if width > 0.2 else "")


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
    for title, block in _blocks(sweep.rows):
        yield _sentence(block, where(title))
        yield from _within_regimes(block, title)


def _sentence(block: pd.DataFrame, setting: str) -> str:
    """The law, the hypotheses inside its interval, other laws, and a plain fit."""
    law = powerlaws.learning_rate_law(block)
    plain_fit = naive_fit.words(block)
    best = optima.optimum(block)
    if all(one.status == "flat" for one in best):
        depth = max(one.depth for one in best)
        return (
            f"LR_opt against batch{setting}: no optimum to fit; over the whole grid losses "
            f"differ by at most {depth:.2g} nats at every batch size{plain_fit}"
        )
    if not law.identified:
        return f"LR_opt against batch{setting}: cannot tell the exponent; {law.reason}{plain_fit}"
    inside = [name for name, value in HYPOTHESES.items() if law.contains(value)]
    rest = [name for name in HYPOTHESES if name not in inside]
    how = "" if law.method == "surface" else ", optima fitted separately"
    text = (
        f"LR_opt against batch{setting}: exponent {law.exponent:.2f}, 95 % interval "
        f"{law.low:.2f} to {law.high:.2f}{how}"
    )
    text += f"; contains {', '.join(inside)}" if inside else ""
    text += f"; excludes {', '.join(rest)}" if rest else ""
    if law.seeds_agree < 0.05:
        differ = f"optima differ between seeds (p {law.seeds_agree:.1g})"
        text += f"; {differ}, which the interval includes"
    compared = law_selection.candidates(block)
    if len(compared.tied) > 1:
        text += f"; AICc cannot distinguish the {', '.join(compared.tied)} laws"
    elif compared.tied:
        text += f"; the {compared.tied[0]} law fits best of {len(compared.fits)} by AICc"
    if compared.fits:
        nearest = min(compared.fits, key=lambda fit: fit.left_out)
        text += (
            f", and the {nearest.name} law predicts held-out batch sizes best (off by a factor of "
            f"{math.exp(nearest.left_out):.2f})"
        )
    elif compared.reason:
        text += f"; laws are not compared ({compared.reason})"
    return text + plain_fit


def _within_regimes(block: pd.DataFrame, title: str) -> Iterator[str]:
    """The law of each clipping regime, if there are several."""
    if "clip_percent" not in block or not np.isfinite(block["clip"]).all():
        return
    parts = clipping_regimes.within(block, clipping_regimes.clip_regimes(block))
    if len(parts) < 2:
        return
    named = f"{title}, " if title else ""
    for kind, part in parts.items():
        law = powerlaws.learning_rate_law(part)
        if law.identified:
            yield (
                f"LR_opt against batch ({named}{kind} cells only, since the others are clipped "
                f"differently): exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to "
                f"{law.high:.2f}"
            )


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`optima`, `laws` and `candidates`: the numbers behind the sentences, for each setting."""
    lines: dict[str, list[dict[str, Any]]] = {"optima": [], "laws": [], "candidates": []}
    for title, block in _blocks(sweep.rows):
        naive = {one.batch: asdict(one) for one in optima.naive_optima(block)}
        for one in optima.optimum(block):
            other = naive.get(one.batch, {})
            plain = {key: other.get(key) for key in ("argmin", "three", "whole")}
            lines["optima"].append({"setting": title, **asdict(one), **plain})
        law = asdict(powerlaws.learning_rate_law(block))
        fit = naive_fit.line(naive_fit.best_tried(block))
        del law["optima"]
        plain = {f"plain_{key}": value for key, value in asdict(fit).items()} if fit else {}
        lines["laws"].append({"setting": title, **law, **plain})
        for candidate in law_selection.candidates(block).fits:
            parameters = ", ".join(f"{key}={value:.4g}" for key, value in candidate.parameters)
            numbers = {key: getattr(candidate, key) for key in ("aicc", "behind", "left_out")}
            lines["candidates"].append(
                {"setting": title, "law": candidate.name, "parameters": parameters, **numbers}
            )
    return {name: pd.DataFrame(table) for name, table in lines.items() if table}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The law through the optima of the batch sizes."""
    return drawings([optimal_lr], sweep.rows)


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The claims of the field, judged for each setting other than batch, lr and seed."""
    for title, block in _blocks(sweep.rows):
        estimate = exponent(block)  # the statistic of all claims
        for claim in CLAIMS:
            yield title, claim.weigh(estimate)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which both batch and lr vary, or which are a table of optima."""
    for title, block in by_setting(rows):
        rates = block.groupby("batch")["lr"].nunique()
        if len(rates) > 1 and (rates.max() > 1 or (len(rates) > 2 and block["lr"].nunique() > 1)):
            yield title, block
