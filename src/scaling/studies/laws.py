"""How does the best learning rate move with the batch size?"""

import math
from collections.abc import Iterator

import pandas as pd

from scaling import candidates, powerlaws, results
from scaling.claims import Claim, Estimate, Verdict

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
    enough = f"about {narrower} seeds, or more batch sizes, would give +- 0.1"
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


def applies(rows: pd.DataFrame) -> bool:
    """Whether a sweep varies what the question is about."""
    return any(True for _ in _blocks(rows))


def sentences(rows: pd.DataFrame) -> Iterator[str]:
    """What a sweep says of the law, for each setting other than batch, lr and seed."""
    for title, block in _blocks(rows):
        where = f" ({title})" if title else ""
        law = powerlaws.learning_rate_law(block)
        if not law.identified:
            yield f"LR_opt against batch{where}: cannot tell an exponent; {law.reason}"
            continue
        inside = [name for name, value in HYPOTHESES.items() if law.contains(value)]
        rest = [name for name in HYPOTHESES if name not in inside]
        how = "" if law.method == "surface" else ", minima found one by one"
        text = (
            f"LR_opt against batch{where}: exponent {law.exponent:.2f}, 95 % interval "
            f"{law.low:.2f} to {law.high:.2f}{how}"
        )
        text += f"; holds {', '.join(inside)}" if inside else ""
        text += f"; excludes {', '.join(rest)}" if rest else ""
        compared = candidates.candidates(block)
        if len(compared.tied) > 1:
            text += f"; {', '.join(compared.tied)} laws cannot be told apart"
        elif compared.tied:
            text += f"; the {compared.tied[0]} law fits best of {len(compared.fits)}"
        yield text


def verdicts(rows: pd.DataFrame) -> Iterator[tuple[str, Verdict]]:
    """The claims of the field, judged for each setting other than batch, lr and seed."""
    for title, block in _blocks(rows):
        found = exponent(block)  # which all of them are about
        for claim in CLAIMS:
            yield title, claim.weigh(found)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which both batch and lr vary."""
    for title, block in results.settings(rows):
        if block["batch"].nunique() > 1 and block.groupby("batch")["lr"].nunique().max() > 1:
            yield title, block
