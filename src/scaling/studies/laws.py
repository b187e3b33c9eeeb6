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
from scaling.studies.claims import Claim, Estimate, Verdict
from scaling.studies.sweep_tables import Evidence

HYPOTHESES = {"0": 0.0, "1/2": 0.5, "2/3": 2 / 3, "1": 1.0}
ENDLESS = math.inf


def exponent(rows: pd.DataFrame) -> Estimate:
    """The exponent of LR_opt = C batch^beta, of rows that differ in batch, lr and seed only."""
    law = powerlaws.learning_rate_law(rows)
    if not law.identified:
        return Estimate.missing(f"no exponent: {law.reason}")
    shown = f"exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to {law.high:.2f}"
    seeds, wide = rows["seed"].nunique(), law.high - law.low
    narrower = math.ceil(seeds * (wide / 0.2) ** 2)  # errors fall with the root of the runs
    enough = f"about {narrower} seeds, or more batch sizes, for +- 0.1"
    return Estimate(law.exponent, law.low, law.high, shown, enough if wide > 0.2 else "")


CLAIMS = (
    Claim(
        "The best learning rate grows with the batch size",
        region=(0.0, ENDLESS), statistic=exponent,
    ),
    Claim(
        "The best learning rate falls with the batch size",
        region=(-ENDLESS, 0.0), statistic=exponent, source="phase 2: -0.36 +- 0.54",
    ),
    Claim(
        "The best learning rate grows about in proportion to the batch size",
        region=(0.8, 1.54), statistic=exponent, source="phase 2.5: 1.17 +- 0.57",
    ),
    Claim(
        "The best learning rate does not depend on the batch size",
        region=(-0.1, 0.1), statistic=exponent, source="phase 3a: beta = 0",
    ),
)  # fmt: skip


def applies(evidence: Evidence) -> bool:
    """Whether a sweep varies what the question is about."""
    return any(True for _ in _blocks(evidence.rows))


def sentences(evidence: Evidence) -> Iterator[str]:
    """What a sweep says of the law, for each setting other than batch, lr and seed."""
    for title, block in _blocks(evidence.rows):
        yield _sentence(block, f" ({title})" if title else "")
        yield from _within_regimes(block, title)


def _sentence(block: pd.DataFrame, where: str) -> str:
    """The law, the hypotheses inside its interval, its rivals, and what a plain fit would say."""
    law = powerlaws.learning_rate_law(block)
    beside = naive_fit.words(block)
    found = optima.optimum(block)
    if all(one.status == "flat" for one in found):
        depth = max(one.depth for one in found)
        return (
            f"LR_opt against batch{where}: there is none to follow; over the whole grid losses "
            f"differ by at most {depth:.2g} nats at every batch size{beside}"
        )
    if not law.identified:
        return f"LR_opt against batch{where}: cannot tell an exponent; {law.reason}{beside}"
    inside = [name for name, value in HYPOTHESES.items() if law.contains(value)]
    rest = [name for name in HYPOTHESES if name not in inside]
    how = "" if law.method == "surface" else ", minima found one by one"
    text = (
        f"LR_opt against batch{where}: exponent {law.exponent:.2f}, 95 % interval "
        f"{law.low:.2f} to {law.high:.2f}{how}"
    )
    text += f"; contains {', '.join(inside)}" if inside else ""
    text += f"; excludes {', '.join(rest)}" if rest else ""
    if law.seeds_agree < 0.05:
        text += f"; seeds move the optimum (p {law.seeds_agree:.1g}), which is in the interval"
    compared = law_selection.candidates(block)
    if len(compared.tied) > 1:
        text += f"; {', '.join(compared.tied)} laws cannot be told apart by AICc"
    elif compared.tied:
        text += f"; the {compared.tied[0]} law fits best of {len(compared.fits)} by AICc"
    if compared.fits:
        nearest = min(compared.fits, key=lambda fit: fit.left_out)
        text += (
            f", and the {nearest.name} law foretells a batch size left out best (off by a factor "
            f"of {math.exp(nearest.left_out):.2f})"
        )
    return text + beside


def _within_regimes(block: pd.DataFrame, title: str) -> Iterator[str]:
    """Laws of the cells in which clipping did the same, where it did not do the same in all."""
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
                f"LR_opt against batch ({named}{kind} cells only, as the rest is clipped "
                f"otherwise): exponent {law.exponent:.2f}, 95 % interval {law.low:.2f} to "
                f"{law.high:.2f}"
            )


def tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """`optima`, `laws` and `candidates`: what the sentences are made of, for each setting."""
    found: dict[str, list[dict[str, Any]]] = {"optima": [], "laws": [], "candidates": []}
    for title, block in _blocks(evidence.rows):
        vertices = {vertex.batch: asdict(vertex) for vertex in optima.vertices(block)}
        for one in optima.optimum(block):
            shapes = vertices.get(one.batch, {})
            beside = {key: shapes.get(key) for key in ("argmin", "three", "whole")}
            found["optima"].append({"setting": title, **asdict(one), **beside})
        law, line = (
            asdict(powerlaws.learning_rate_law(block)),
            naive_fit.line(naive_fit.best_tried(block)),
        )
        del law["optima"]
        beside = {f"plain_{key}": value for key, value in asdict(line).items()} if line else {}
        found["laws"].append({"setting": title, **law, **beside})
        for fit in law_selection.candidates(block).fits:
            parameters = ", ".join(f"{key}={value:.4g}" for key, value in fit.parameters)
            numbers = {"aicc": fit.aicc, "behind": fit.behind, "left_out": fit.left_out}
            found["candidates"].append(
                {"setting": title, "law": fit.name, "parameters": parameters, **numbers}
            )
    return {name: pd.DataFrame(lines) for name, lines in found.items() if lines}


def verdicts(evidence: Evidence) -> Iterator[tuple[str, Verdict]]:
    """The claims of the field, judged for each setting other than batch, lr and seed."""
    for title, block in _blocks(evidence.rows):
        found = exponent(block)  # which all of them are about
        for claim in CLAIMS:
            yield title, claim.weigh(found)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which both batch and lr vary, or that are a table of optima."""
    for title, block in by_setting(rows):
        rates = block.groupby("batch")["lr"].nunique()
        if len(rates) > 1 and (rates.max() > 1 or (len(rates) > 2 and block["lr"].nunique() > 1)):
            yield title, block
