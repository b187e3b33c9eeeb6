"""Intervals over what is independent: seeds, or the folds of one population."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from scaling.analysis import intervals
from scaling.analysis.effects import Contrast, paired_contrasts
from scaling.analysis.intervals import FEWEST, Interval
from scaling.analysis.pairing import Pairing
from scaling.studies.claims import Estimate

Ends = tuple[float, float]

EXACT = 1e-12  # a change that is rounding
ANYWHERE = (-math.inf, math.inf)
MORE = "three seeds of every setting, or more"


def cluster_of(block: pd.DataFrame) -> str:
    """Which column holds what is independent: `seed` or `fold`.

    Folds of a seed share clients and source model, so seeds are independent if each draws its own.
    If folds have the same windows for all seeds, as their checksums tell, folds are independent.
    With one seed it is folds as well, and results hold for the population of that seed. Folds that
    share windows with each other are never independent.
    """
    if "query_overlap" in block and (block["query_overlap"] > 0).any():
        return "seed"
    if block["seed"].nunique() < 2:
        return "fold"
    return "fold" if block["fold"].nunique() > 1 and _same_windows(block) else "seed"


def describe_clusters(block: pd.DataFrame) -> str:
    """How many runs of an arm there are, and over what intervals are taken."""
    units, unit = block["unit"].nunique(), cluster_of(block)
    clusters, same = block[unit].nunique(), _same_windows(block)
    if "query_overlap" in block and block["query_overlap"].notna().any():
        how = {
            ("seed", False): "which divide the same records anew",
            ("seed", True): "trained anew on the same windows",
        }.get((unit, same), "which share no window")
        intervals = f"intervals over {clusters} {unit}s, {how}"
        return f"{units} queries; {intervals}: of these records, no others"
    if unit == "seed" and same:
        return f"{units} runs on one query; intervals over {clusters} seeds, of this query alone"
    why = {
        ("seed", True): "whose folds share clients and source model",
        ("seed", False): "each with a population of its own",
        ("fold", True): "whose windows are the same for all seeds",
        ("fold", False): "of one seed's population",
    }
    several = block["fold" if unit == "seed" else "seed"].nunique() > 1
    return f"{units} queries; intervals over {clusters} {unit}s, {why[unit, several]}"


def _same_windows(block: pd.DataFrame) -> bool:
    """Whether several seeds adapted on the same windows, fold by fold."""
    if block["seed"].nunique() < 2 or "query_checksum" not in block:
        return False
    return bool((block.groupby("fold")["query_checksum"].nunique(dropna=False) == 1).all())


def over_seeds(block: pd.DataFrame, measure: str, *, positive: bool = True) -> Estimate:
    """A measure of runs that differ in their seed only, by a t interval over its logs.

    A run that lies in two folders is one observation; runs of one seed are averaged.
    """
    runs = block.reindex(columns=["seed", measure])
    means = runs.groupby("seed")[measure].mean().dropna()
    return seed_interval(means.to_numpy(float), positive=positive)


def seed_interval(values: np.ndarray, *, positive: bool) -> Estimate:
    """The mean of a value of each seed, of its log if it is positive, by a t interval."""
    if len(values) < FEWEST:
        return Estimate.missing(f"seeds with a number: {len(values)}; it takes {FEWEST}", MORE)
    if positive and (zeros := int((values <= 0).sum())):
        return Estimate.missing(f"{zeros} of {len(values)} seeds have 0, which no factor reaches")
    return _estimate(np.log(values) if positive else values, "seed", positive=positive)


def against(
    block: pd.DataFrame, measure: str, *, key: str, of: object, to: object, positive: bool = True
) -> Estimate:
    """A measure at one value of a key over that at another (or less it), paired by seed."""
    wide = block.pivot_table(index="seed", columns=key, values=measure)
    lacking = [str(value) for value in (of, to) if value not in wide]
    if lacking:
        return Estimate.missing(f"no run at {key}={', '.join(lacking)}", "such a run")
    pairs = wide[[of, to]].dropna()
    values = pairs[of] / pairs[to] if positive else pairs[of] - pairs[to]
    return seed_interval(values.to_numpy(float), positive=positive)


def share_of_seeds(block: pd.DataFrame, happened: str, looked: str) -> Estimate:
    """The share of seeds in which something happened, by a Wilson interval.

    Args:
        block: runs that differ in their seed only.
        happened: column that is missing where it did not.
        looked: column that is missing where this was not checked.
    """
    if looked not in block:
        return Estimate.missing(f"{looked} was not measured")
    seeds = block[block[looked].notna()].groupby("seed")[happened].count() > 0
    if len(seeds) < FEWEST:
        return Estimate.missing(f"seeds with a number: {len(seeds)}; it takes {FEWEST}", MORE)
    share = intervals.wilson_interval(int(seeds.sum()), len(seeds))
    shown = (
        f"{seeds.sum()} of {len(seeds)} seeds, 95 % interval {share.low:.2g} to {share.high:.2g}"
    )
    return Estimate(share.value, share.low, share.high, shown, "more seeds")


def over_clusters(
    block: pd.DataFrame, values: pd.Series, *, positive: bool = False, within: Ends = ANYWHERE
) -> Estimate:
    """The mean of a number of each unit, by a t interval over the means of clusters.

    Args:
        block: runs of a setting.
        values: by unit.
        positive: take the mean of logs, as for factors.
        within: where the number can lie at all; an interval is cut off there, which does not change
            how often it covers.
    """
    unit = cluster_of(block)
    owners = block.drop_duplicates("unit").set_index("unit")[unit]
    values = values.dropna()
    if positive and not (values > 0).all():
        return Estimate.missing("a measure that should be positive is not")
    means = (np.log(values) if positive else values).groupby(owners).mean()
    if len(means) < FEWEST:
        more = f"{FEWEST} {unit}s, or more"
        return Estimate.missing(f"{unit}s with a number: {len(means)}; it takes {FEWEST}", more)
    if (means.abs() < EXACT).all():
        return Estimate.missing(f"no difference at all in {len(means)} {unit}s")
    return _estimate(means.to_numpy(float), unit, positive=positive, within=within)


def _estimate(means: np.ndarray, unit: str, *, positive: bool, within: Ends = ANYWHERE) -> Estimate:
    """A t interval over the means of clusters, which are logs of what is positive."""
    interval = intervals.t_interval(means)
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (math.exp(end) for end in ends) if positive else ends
    low, high = max(low, within[0]), min(high, within[1])
    shown = f"{value:.3g}, 95 % interval {low:.3g} to {high:.3g} over {len(means)} {unit}s"
    return Estimate(value, low, high, shown, f"more {unit}s")


def per_doubling(block: pd.DataFrame, measure: str, *, positive: bool = False) -> Estimate:
    """How much a measure changes, or by what factor, for each doubling of the batch.

    A least-squares line in log2 of the batch for each unit that has all fixed batch sizes; then
    over clusters. Batch sizes that grow are left out.
    """
    fixed, name = block[~block["grows"]], measure.replace("_", " ")
    if measure not in fixed or fixed[measure].isna().all():
        return Estimate.missing(f"{name} was not measured")
    wide = fixed.pivot_table(index="unit", columns="batch", values=measure)
    if wide.shape[1] < 2:
        reason = f"batch sizes with a number: {wide.shape[1]}"
        return Estimate.missing(reason, "several batch sizes")
    wide = wide.dropna()
    if positive and not (wide > 0).all(axis=None):
        return Estimate.missing(f"{name} is not positive everywhere")
    x, y = np.log2(wide.columns.to_numpy(float)), wide.to_numpy(float)
    changes = pd.Series(intervals.slopes(x, np.log(y) if positive else y), index=wide.index)
    changes = changes.map(math.exp) if positive else changes
    estimate = over_clusters(block, changes, positive=positive)
    if math.isnan(estimate.value):
        return estimate
    sizes = ", ".join(f"{batch:g}" for batch in wide.columns)
    return replace(estimate, shown=f"per doubling, batch {sizes}: {estimate.shown}")


def change_of_norm(block: pd.DataFrame, which: str) -> Interval:
    """Mean slope of the log norm of an arm, as log change over the longest span; ends may be nan.

    As in `trends.fold_trend`, a unit weighs by the square of its span, but units of one cluster
    count as one replicate. Both agree if each cluster is one unit.

    Args:
        block: runs of one arm.
        which: `norm`, of mini-batches, or `query_norm`.
    """
    runs = block[block[f"{which}_slope"].notna()]
    spans, unit = runs[f"{which}_span"], cluster_of(block)
    table = pd.DataFrame({"weight": spans**2, "cluster": runs[unit]})
    table["change"] = runs[f"{which}_slope"] * spans.max() * table["weight"]
    sums = table.groupby("cluster").sum()
    if sums.empty:
        return intervals.UNKNOWN
    changes = (sums["change"] / sums["weight"]).to_numpy(float)
    if len(changes) < FEWEST:
        return Interval(float(np.average(changes, weights=sums["weight"])))
    return intervals.weighted_t_interval(changes, sums["weight"].to_numpy(float))


def gains(block: pd.DataFrame, split: str) -> dict[str, Contrast]:
    """Accuracy after adaptation less before, for each arm; Holm over the arms.

    Args:
        block: runs of a setting.
        split: `query`, `val` (held-out windows of the same shift) or `source`.
    """
    return changes(block, f"before_{split}_accuracy", f"{split}_accuracy")


def changes(block: pd.DataFrame, first: str, second: str) -> dict[str, Contrast]:
    """One measure of a run less another, for each arm; Holm over the arms.

    Args:
        block: runs of a setting.
        first: column that is taken away.
        second: column that it is taken from.
    """
    columns = {"before": first, "after": second}
    both = [block.assign(when=when, score=block[column]) for when, column in columns.items()]
    pairs = _paired(pd.concat(both, ignore_index=True), "score", "when", ["arm"])
    contrasts = paired_contrasts(pairs, by=("arm",), reference="before")
    return {str(dict(one.where)["arm"]): one for one in contrasts}


def between_arms(block: pd.DataFrame, measure: str, reference: str) -> tuple[Contrast, ...]:
    """Each arm less a reference, paired by fold and seed; Holm over the arms."""
    return paired_contrasts(_paired(block, measure, "arm", []), reference=reference)


def _paired(runs: pd.DataFrame, measure: str, key: str, shared: list[str]) -> Pairing:
    """Runs side by side: clusters are replicates, and seed or fold tells pairs apart in them."""
    unit = cluster_of(runs)
    shared = [*shared, "seed" if unit == "fold" else "fold"]
    return Pairing.of(runs[np.isfinite(runs[measure])], measure, key, shared, unit)


def more_or_less(one: Contrast) -> str:
    """What a difference comes to after Holm's correction: more, less, or cannot tell."""
    if one.verdict != "differs" or one.seeds < FEWEST:
        return "cannot tell"
    return "more" if one.difference > 0 else "less"


def gain_or_harm(one: Contrast) -> str:
    """What a difference in accuracy is called."""
    return {"more": "gain", "less": "harm"}.get(more_or_less(one), "cannot tell")
