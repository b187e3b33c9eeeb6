"""Tails of each run, as one number for each measure, axis and group of layers."""

import math

import numpy as np
import pandas as pd

from scaling.gradients.tail_bands import bands
from scaling.studies.claims import Estimate
from scaling.studies.cluster_intervals import MORE, over_seeds, seed_interval

RUN = ["study", "run"]
SHARES = {"hill_1": "1 %", "hill_5": "5 %", "hill_10": "10 %", "hill_20": "20 %"}
MEASURES = ["shape", "excess_kurtosis", "degrees", *SHARES]
KEYS = ["axis", "clipped", "group"]
ALPHA = 3.0  # the published tail index


def with_tails(rows: pd.DataFrame, tails: pd.DataFrame) -> pd.DataFrame:
    """The windows of every run, with its settings; windows that were not judged are left out."""
    judged = tails[tails["verdict"] != "not judged"]
    settings = rows.drop(columns=["steps", "error", "epoch", "step"], errors="ignore")
    return settings.merge(judged.astype(dict.fromkeys(RUN, object)), on=RUN)


def per_run(
    block: pd.DataFrame, measure: str, *, axis: str, group: str = "all", clipped: bool = False
) -> pd.DataFrame:
    """A line per run with its seed and the median of a measure over its windows."""
    chosen = block[
        (block["axis"] == axis) & (block["group"] == group) & (block["clipped"] == clipped)
    ]
    finite = chosen[np.isfinite(chosen[measure])]
    return finite.groupby([*RUN, "seed"], as_index=False, observed=True)[measure].median()


def over_runs(block: pd.DataFrame, measure: str, *, axis: str, positive: bool = True) -> Estimate:
    """A measure of all layers over the seeds, each run by the median of its windows."""
    runs = per_run(block, measure, axis=axis)
    if runs.empty:
        return Estimate.missing(f"{measure} was not measured over {axis}")
    return over_seeds(runs, measure, positive=positive)


def drift(block: pd.DataFrame, *, axis: str) -> Estimate:
    """Hill's index at the top 5 % over that at the top 20 %: 1 for a power law."""
    few, many = (
        per_run(block, share, axis=axis).set_index([*RUN, "seed"])[share]
        for share in ("hill_5", "hill_20")
    )
    ratios = (few / many).dropna().groupby("seed").mean()
    return seed_interval(ratios.to_numpy(float), positive=True)


def farthest(block: pd.DataFrame, *, axis: str) -> Estimate:
    """Hill's index at the share, out of the top 5, 10 and 20 %, where it is farthest from 3."""
    found = {
        share: over_runs(block, share, axis=axis) for share in ("hill_5", "hill_10", "hill_20")
    }
    known = {share: one for share, one in found.items() if not math.isnan(one.value)}
    if not known:
        return Estimate.missing("Hill's index was not measured in three seeds", MORE)
    share = max(known, key=lambda name: abs(math.log(known[name].value / ALPHA)))
    one = known[share]
    shown = f"farthest from 3 at the top {SHARES[share]}: {one.shown}"
    return Estimate(one.value, one.low, one.high, shown, one.would_tell)


def above_two(block: pd.DataFrame, *, axis: str) -> Estimate:
    """Hill's index at the top 1 % over the median that a law of index 2 has in such samples."""
    share = "hill_1"
    runs = per_run(block, share, axis=axis)
    if runs.empty:
        return Estimate.missing("fewer than 5 values are in the top 1 %", "larger samples")
    chosen = block[(block["axis"] == axis) & (block["group"] == "all")]
    size, draws = int(chosen["values"].median()), int(chosen["draws"].median())
    edge = bands(size, draws)["student_t_2"][share].middle
    one = over_seeds(runs.assign(ratio=runs[share] / edge), "ratio")
    if math.isnan(one.value):
        return one
    shown = f"{one.shown}; divided by {edge:.3g}, that of a law of index 2 in samples as large"
    return Estimate(one.value, one.low, one.high, shown, one.would_tell)


def exponent(block: pd.DataFrame, *, axis: str) -> Estimate:
    """The exponent 1 - 1/alpha of lr over batch that keeps the noise of a step constant.

    The mean of B values of an alpha-stable law scales as B^(1/alpha - 1), for alpha of at most 2.
    Above an index of 2 the variance is finite, and a mean scales as B^(-1/2) whatever the index.
    """
    one = above_two(block, axis=axis)
    if math.isnan(one.value):
        return one
    value, low, high = (1 - 1 / (2 * min(1.0, end)) for end in (one.value, one.low, one.high))
    finite = "so the variance is finite and" if one.low > 1 else "so at most"
    shown = (
        f"index {one.value:.2g} times 2 ({one.low:.2g} to {one.high:.2g}), {finite} the exponent "
        f"is {value:.2f}; 1 - 1/alpha is 2/3 at alpha = 3, where it does not apply"
    )
    return Estimate(value, low, high, shown, one.would_tell)


def summary(windows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over runs and seeds of every measure, and the verdicts, for each window and group."""
    by = [*keys, *KEYS, "step"]
    grouped = windows.groupby(by, dropna=False, observed=True)
    means = grouped[MEASURES].mean()
    means["runs"] = grouped.size()
    means["verdicts"] = grouped["verdict"].agg(counts)
    return means.reset_index()


def counts(verdicts: pd.Series) -> str:
    """The number of windows with each verdict, as text, the most frequent first."""
    return ", ".join(f"{word} {n}" for word, n in verdicts.value_counts().items())
