"""Intervals over independent clusters: seeds, or the folds of one population."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from scaling.analysis import intervals
from scaling.analysis.effects import Contrast, paired_contrasts
from scaling.analysis.intervals import FEWEST, Interval
from scaling.analysis.pairing import Pairing
from scaling.contracts.words import counted
from scaling.studies.claims import Estimate

Ends = tuple[float, float]

EXACT = 1e-12  # smaller changes are rounding
ANYWHERE = (-math.inf, math.inf)
MORE = "three seeds of every setting, or more"


def cluster_of(block: pd.DataFrame) -> str:
    """The column of the independent clusters: `seed` or `fold`.

    Folds of a seed share clients and source model, so seeds are independent if each draws its own.
    If all seeds have the same windows, fold by fold, by their checksums, folds are independent.
    With a single seed they are too, and results hold for the population of that seed. Folds that
    share windows with each other are never independent.
    """
    if "query_overlap" in block and (block["query_overlap"] > 0).any():
        return "seed"
    if block["seed"].nunique() < 2:
        return "fold"
    return "fold" if block["fold"].nunique() > 1 and _same_windows(block) else "seed"


def describe_clusters(block: pd.DataFrame) -> str:
    """Describe how many queries an arm has, and what its intervals are taken over."""
    units, unit = block["unit"].nunique(), cluster_of(block)
    clusters, same = block[unit].nunique(), _same_windows(block)
    if "query_overlap" in block and block["query_overlap"].notna().any():
        how = {
            ("seed", False): "each a new division of the same records",
            ("seed", True): "retrained on the same windows",
        }.get((unit, same), "which share no window")
        intervals = f"intervals over {counted(clusters, unit)}, {how}"
        return f"{counted(units, 'query', 'queries')}; {intervals}: valid for these records only"
    if unit == "seed" and same:
        seeds = counted(clusters, "seed")
        return f"{counted(units, 'run')} on one query; intervals over {seeds}, for this query only"
    why = {
        ("seed", True): "whose folds share clients and source model",
        ("seed", False): "each with its own population",
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
    """The mean over seeds of a measure, with a t interval, taken over its logs if `positive`.

    Runs differ only in their seed. A run that is in two folders counts once, since runs of one seed
    are averaged.
    """
    runs = block.reindex(columns=["seed", measure])
    means = runs.groupby("seed")[measure].mean().dropna()
    return seed_interval(means.to_numpy(float), positive=positive)


def seed_interval(values: np.ndarray, *, positive: bool) -> Estimate:
    """The mean of one value per seed, with a t interval, taken over the logs if `positive`."""
    if len(values) < FEWEST:
        return Estimate.missing(f"seeds with a value: {len(values)}; {FEWEST} needed", MORE)
    if positive and (zeros := int((values <= 0).sum())):
        return Estimate.missing(f"{zeros} of {len(values)} seeds have 0, which has no logarithm")
    return _estimate(np.log(values) if positive else values, "seed", positive=positive)


def against(
    block: pd.DataFrame, measure: str, *, key: str, of: object, to: object, positive: bool = True
) -> Estimate:
    """Ratio (or difference) of a measure between two values of a key, paired by seed."""
    wide = block.pivot_table(index="seed", columns=key, values=measure)
    absent = [str(value) for value in (of, to) if value not in wide]
    if absent:
        return Estimate.missing(f"no run at {key}={', '.join(absent)}", "such a run")
    pairs = wide[[of, to]].dropna()
    values = pairs[of] / pairs[to] if positive else pairs[of] - pairs[to]
    return seed_interval(values.to_numpy(float), positive=positive)


def share_of_seeds(block: pd.DataFrame, happened: str, looked: str) -> Estimate:
    """The share of seeds in which an event happened, with a Wilson interval.

    Args:
        block: runs that differ only in their seed.
        happened: column that is missing if the event did not happen.
        looked: column that is missing if this was not checked.
    """
    if looked not in block:
        return Estimate.missing(f"{looked} was not measured")
    seeds = block[block[looked].notna()].groupby("seed")[happened].count() > 0
    if len(seeds) < FEWEST:
        return Estimate.missing(f"seeds with a value: {len(seeds)}; {FEWEST} needed", MORE)
    share = intervals.wilson_interval(int(seeds.sum()), len(seeds))
    shown = (
        f"{seeds.sum()} of {len(seeds)} seeds, 95 % interval {share.low:.2g} to {share.high:.2g}"
    )
    return Estimate(share.value, share.low, share.high, shown, "more seeds")


def over_clusters(
    block: pd.DataFrame, values: pd.Series, *, positive: bool = False, within: Ends = ANYWHERE
) -> Estimate:
    """The mean of one value per unit, with a t interval over the means of clusters.

    Args:
        block: runs of a setting.
        values: by unit.
        positive: take the mean of logs, as for factors.
        within: range of possible values; the interval is clipped to it, which does not change its
            coverage.
    """
    unit = cluster_of(block)
    owners = block[["unit", unit]].drop_duplicates("unit").set_index("unit")[unit]
    values = values.dropna()
    if positive and not (values > 0).all():
        return Estimate.missing("a measure that should be positive is not")
    means = (np.log(values) if positive else values).groupby(owners).mean()
    if len(means) < FEWEST:
        more = f"{FEWEST} {unit}s, or more"
        return Estimate.missing(f"{unit}s with a value: {len(means)}; {FEWEST} needed", more)
    if (means.abs() < EXACT).all():
        return Estimate.missing(f"no difference at all in {len(means)} {unit}s")
    return _estimate(means.to_numpy(float), unit, positive=positive, within=within)


def _estimate(means: np.ndarray, unit: str, *, positive: bool, within: Ends = ANYWHERE) -> Estimate:
    """A t interval over the means of clusters, which are logs if `positive`."""
    interval = intervals.t_interval(means)
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (math.exp(end) for end in ends) if positive else ends
    low, high = max(low, within[0]), min(high, within[1])
    shown = f"{value:.3g}, 95 % interval {low:.3g} to {high:.3g} over {len(means)} {unit}s"
    return Estimate(value, low, high, shown, f"more {unit}s")


def per_doubling(block: pd.DataFrame, measure: str, *, positive: bool = False) -> Estimate:
    """Change of a measure per doubling of the batch, as a factor if `positive`.

    A least-squares line in log2 of the batch is fitted to each unit that has all fixed batch sizes,
    then averaged over clusters. Batch sizes that grow are left out.
    """
    fixed, name = block[~block["grows"]], measure.replace("_", " ")
    if measure not in fixed or fixed[measure].isna().all():
        return Estimate.missing(f"{name} was not measured")
    wide = fixed.groupby(["unit", "batch"])[measure].mean().dropna().unstack()
    if wide.shape[1] < 2:
        reason = f"batch sizes with a value: {wide.shape[1]}"
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

    As in `trends.fold_trend`, units are weighted by the square of their span, but units of one
    cluster count as one replicate. Both agree if each cluster is one unit.

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
    """Accuracy after adaptation minus before, for each arm, Holm-corrected over the arms.

    Args:
        block: runs of a setting.
        split: `query`, `val` (held-out windows of the same shift) or `source`.
    """
    return changes(block, f"before_{split}_accuracy", f"{split}_accuracy")


def changes(block: pd.DataFrame, first: str, second: str) -> dict[str, Contrast]:
    """One measure of a run minus another, for each arm, Holm-corrected over the arms.

    Args:
        block: runs of a setting.
        first: column to subtract.
        second: column to subtract it from.
    """
    columns = {"before": first, "after": second}
    runs = block[["arm", "seed", "fold"]]
    both = [runs.assign(when=when, score=block[column]) for when, column in columns.items()]
    table = pd.concat(both, ignore_index=True)
    pairs = _paired(table, "score", "when", ["arm"], cluster_of(block))
    contrasts = paired_contrasts(pairs, by=("arm",), reference="before")
    return {str(dict(one.where)["arm"]): one for one in contrasts}


def between_arms(block: pd.DataFrame, measure: str, reference: str) -> tuple[Contrast, ...]:
    """Each arm minus a reference, paired by fold and seed, Holm-corrected over the arms."""
    pairs = _paired(block[["arm", "seed", "fold", measure]], measure, "arm", [], cluster_of(block))
    return paired_contrasts(pairs, reference=reference)


def _paired(runs: pd.DataFrame, measure: str, key: str, shared: list[str], unit: str) -> Pairing:
    """Pair runs: clusters are the replicates, and seed or fold identifies a pair within one."""
    shared = [*shared, "seed" if unit == "fold" else "fold"]
    return Pairing.of(runs[np.isfinite(runs[measure])], measure, key, shared, unit)


def more_or_less(one: Contrast) -> str:
    """The verdict on a difference after Holm's correction: more, less, or inconclusive."""
    if one.verdict != "differs" or one.seeds < FEWEST:
        return "inconclusive"
    return "more" if one.difference > 0 else "less"


def gain_or_harm(one: Contrast) -> str:
    """The verdict on a difference in accuracy: gain, harm, or inconclusive."""
    return {"more": "gain", "less": "harm"}.get(more_or_less(one), "inconclusive")
