"""Published tables of Hill's index: is the index the same when more values are used?"""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import integrate, stats

COLUMNS = ("sample", "k", "alpha")  # of a table: what was measured, top share of values, index
LAWS = {
    "gaussian": stats.norm,
    "laplace": stats.laplace,
    "student_t_3": stats.t(3),
    "cauchy": stats.cauchy,
}
STEADY = 1.25  # a law with a power tail drifts by less between the top 5 % and the top 20 %


@cache
def expected_index(law: str, share: float) -> float:
    """Hill's index at the largest share of the sizes of a large sample of a law.

    The reciprocal of the mean of log(size / threshold) above the threshold, which is the integral
    of P(|x| > e^u) / share over log sizes u. For Laplace it is 1 / (e^x E1(x)) with
    x = log(1 / share): 3.09 at the top 10 %, although its tail has no index.

    Args:
        law: one of `LAWS`.
        share: between 0 and 1.
    """
    tail = LAWS[law]
    start = math.log(tail.isf(share / 2))
    above = integrate.quad(lambda u: 2 * tail.sf(math.exp(u)), start, start + 30, limit=200)[0]
    return share / above


def is_hill_table(path: Path) -> bool:
    """Whether a file is a table of Hill's index, with columns `sample`, `k` and `alpha`."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:  # it may be anything
        header = lines.readline().strip().split(",")
    return set(COLUMNS) <= set(header)


def hill_drift(table: pd.DataFrame) -> pd.DataFrame:
    """Judge each sample of a table by how its index changes with the share of values used.

    A power law has one index. A sample whose index falls by more than a quarter from the smallest
    share to the largest has no tail index in this range; an index at a single share says nothing,
    because the index of every law is about 3 at some share.

    Args:
        table: columns `sample`, `k` (top share of the sizes, such as 0.05), `alpha` (the index) and
            perhaps `source`.

    Returns:
        A line per sample: the first and last share and index, the `ratio` of the indices,
        `nearest`, the law whose expected indices are nearest at the same shares, and a `verdict` in
        words. With one share, `ratio` is nan and `nearest` is empty.

    Raises:
        ValueError: if a column, all lines or a value is missing, or a share or an index is out of
            range.
    """
    if absent := [column for column in COLUMNS if column not in table]:
        raise ValueError(f"no column {', '.join(absent)} in this table of Hill's index")
    if table.empty:
        raise ValueError("this table of Hill's index has no lines; each sample needs one")
    keys = [key for key in ("source", "sample") if key in table]
    table = table.reset_index(drop=True)
    numbers = table[["k", "alpha"]].apply(pd.to_numeric, errors="coerce")
    known = numbers["k"].between(0, 1, inclusive="neither") & (numbers["alpha"] > 0)
    known &= np.isfinite(numbers["alpha"]) & table[keys].notna().all(axis=1)
    if not known.all():
        line = int(known.to_numpy().argmin())
        values = table.loc[line, [*keys, "k", "alpha"]].to_dict()
        given = ", ".join(f"{key}={value}" for key, value in values.items())
        raise ValueError(
            f"line {line + 1}, {given}: k must be a share of the values between 0 and 1, alpha "
            "positive and finite, and no value missing; correct the line or leave it out"
        )
    table = table.assign(**numbers)
    lines = []
    for names, block in table.groupby(keys, sort=False):
        block = block.sort_values("k")
        few, many = block.iloc[0], block.iloc[-1]
        first, last = few["alpha"], many["alpha"]
        nearest = _nearest(block) if len(block) > 1 else ""
        lines.append(
            {
                **dict(zip(keys, names, strict=True)),
                "k_first": few["k"],
                "k_last": many["k"],
                "alpha_first": first,
                "alpha_last": last,
                "ratio": first / last if len(block) > 1 else np.nan,
                "nearest": nearest,
                "verdict": _verdict((few["k"], many["k"]), (first, last), nearest),
            }
        )
    return pd.DataFrame(lines)


def sentences(path: Path) -> list[str]:
    """The verdicts of `hill_drift` on the table in a file, as sentences.

    A sentence for each sample with several shares, and one for those with a single share.
    """
    drift = hill_drift(pd.read_csv(path))
    keys = [key for key in ("source", "sample") if key in drift]
    names = drift[keys].astype(str).agg(" ".join, axis=1)
    single = drift["ratio"].isna()
    found = [
        f"{name}: {verdict}"
        for name, verdict in zip(names[~single], drift.loc[~single, "verdict"], strict=True)
    ]
    for share, same in drift[single].groupby("k_first"):
        indices = [
            f"{name} {alpha:g}"
            for name, alpha in zip(names[same.index], same["alpha_first"], strict=True)
        ]
        given = ", ".join(f"{law} {expected_index(law, share):.3g}" for law in LAWS)
        found.append(
            f"Only at the top {share:.0%}: {', '.join(indices)}. One share cannot show whether an "
            "index stays the same, as that of a power law does, so no nearest law is given (exact "
            f"samples give {given} there)"
        )
    return found


def _nearest(block: pd.DataFrame) -> str:
    """The law with the smallest mean square of log ratios to its expected indices."""
    distances = {
        law: np.mean(
            [
                math.log(alpha / expected_index(law, share)) ** 2
                for share, alpha in zip(block["k"], block["alpha"], strict=True)
            ]
        )
        for law in LAWS
    }
    return min(distances, key=lambda law: distances[law])


def _verdict(shares: tuple[float, float], indices: tuple[float, float], nearest: str) -> str:
    """The verdict on the indices at the smallest and the largest share."""
    (few, many), (first, last) = shares, indices
    expected = {law: [expected_index(law, share) for share in shares] for law in LAWS}
    if few == many:
        given = ", ".join(f"{law} {pair[0]:.3g}" for law, pair in expected.items())
        return (
            f"{first:g} at the top {few:.0%}: one share cannot show an index; exact samples give "
            f"{given} there"
        )
    given = ", ".join(f"{law} {pair[0]:.3g} to {pair[1]:.3g}" for law, pair in expected.items())
    moved = f"from {first:g} at the top {few:.0%} to {last:g} at the top {many:.0%}"
    if max(first / last, last / first) <= STEADY:
        return f"{moved}: as steady as a power law; exact samples give {given}"
    return (
        f"{moved}: an index that moves with the share is not a tail index; exact samples give "
        f"{given}; the nearest is {nearest}"
    )
