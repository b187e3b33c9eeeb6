"""A measure of adapted runs over what is independent: seeds, or the folds of one population."""

import math

import numpy as np
import pandas as pd

from scaling.analysis.effects import Contrast, effect_of
from scaling.analysis.intervals import UNKNOWN, Interval, t_interval, weighted_t_interval
from scaling.studies.claims import Estimate

LEVEL, FEWEST = 0.95, 3
EXACT = 1e-12  # a change that is rounding
WHEN = "adaptation.when"  # a setting of stacked rows: before or after


def cluster_of(block: pd.DataFrame) -> str:
    """Which column holds what is independent: `seed` or `fold`.

    Folds of a seed share clients and source model, so that seeds are independent where each draws
    its own. Where folds have the same windows for all seeds, as their checksums tell, folds are.
    With one seed it is folds as well, and what is said holds for that seed's population. Folds that
    share windows with each other are never independent.
    """
    if _overlap(block):
        return "seed"
    if block["seed"].nunique() < 2:
        return "fold"
    return "fold" if block["fold"].nunique() > 1 and _same_windows(block) else "seed"


def replicates(block: pd.DataFrame) -> str:
    """How many runs of an arm there are, and over what intervals are taken."""
    units, unit = block["unit"].nunique(), cluster_of(block)
    many, same = block[unit].nunique(), _same_windows(block)
    if "query_overlap" in block and block["query_overlap"].notna().any():
        how = {
            ("seed", False): "which divide the same records anew",
            ("seed", True): "trained anew on the same windows",
        }.get((unit, same), "which share no window")
        return f"{units} queries; intervals over {many} {unit}s, {how}: of these records, no others"
    if unit == "seed" and same:
        return f"{units} runs on one query; intervals over {many} seeds, of this query alone"
    why = {
        ("seed", True): "whose folds share clients and source model",
        ("seed", False): "each with a population of its own",
        ("fold", True): "whose windows are the same for all seeds",
        ("fold", False): "of one seed's population",
    }
    several = block["fold" if unit == "seed" else "seed"].nunique() > 1
    return f"{units} queries; intervals over {many} {unit}s, {why[unit, several]}"


def _overlap(block: pd.DataFrame) -> bool:
    """Whether the queries of different folds have windows in common."""
    return "query_overlap" in block and bool((block["query_overlap"] > 0).any())


def _same_windows(block: pd.DataFrame) -> bool:
    """Whether several seeds adapted on the same windows, fold by fold."""
    if block["seed"].nunique() < 2 or "query_checksum" not in block:
        return False
    return bool((block.groupby("fold")["query_checksum"].nunique(dropna=False) == 1).all())


def over_clusters(
    block: pd.DataFrame,
    values: pd.Series,
    *,
    positive: bool = False,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The mean of a number of each unit, by a t interval over the means of clusters.

    Args:
        block: runs of a setting.
        values: by unit.
        positive: take the mean of logs, as for factors.
        within: where the number can lie at all; what an interval has beyond is cut off, by which
            it holds the truth as often as before.
    """
    unit = cluster_of(block)
    owners = block.drop_duplicates("unit").set_index("unit")[unit]
    known = values.dropna()
    if positive and not (known > 0).all():
        return Estimate.missing("a measure that should be positive is not")
    means = (np.log(known) if positive else known).groupby(owners).mean()
    if len(means) < FEWEST:
        more = f"{FEWEST} {unit}s, or more"
        return Estimate.missing(f"{unit}s with a number: {len(means)}; it takes {FEWEST}", more)
    if (means.abs() < EXACT).all():
        return Estimate.missing(f"no difference at all in {len(means)} {unit}s")
    found = t_interval(means.to_numpy(float), level=LEVEL, fewest=FEWEST)
    ends = (found.value, found.low, found.high)
    value, low, high = (math.exp(end) for end in ends) if positive else ends
    low, high = max(low, within[0]), min(high, within[1])
    shown = f"{value:.3g}, 95 % interval {low:.3g} to {high:.3g} over {len(means)} {unit}s"
    return Estimate(value, low, high, shown, f"more {unit}s")


def per_doubling(block: pd.DataFrame, measure: str, *, positive: bool = False) -> Estimate:
    """How much a measure changes, or by what factor, for each doubling of the batch.

    A least-squares line in log2 of the batch for each unit that has all fixed batch sizes; then
    over clusters. Batch sizes that grow are left out.
    """
    fixed = block[~block["grows"]]
    if measure not in fixed or fixed[measure].isna().all():
        return Estimate.missing(f"{measure.replace('_', ' ')} was not measured")
    wide = fixed.pivot_table(index="unit", columns="batch", values=measure)
    if wide.shape[1] < 2:
        return Estimate.missing(
            f"batch sizes with a number: {wide.shape[1]}", "several batch sizes"
        )
    whole = wide.dropna()
    if positive and not (whole > 0).all(axis=None):
        return Estimate.missing(f"{measure.replace('_', ' ')} is not positive everywhere")
    x = np.log2(whole.columns.to_numpy(float))
    x = x - x.mean()
    y = np.log(whole.to_numpy(float)) if positive else whole.to_numpy(float)
    slopes = pd.Series(y @ x / (x @ x), index=whole.index)
    found = over_clusters(block, slopes.map(math.exp) if positive else slopes, positive=positive)
    if math.isnan(found.value):
        return found
    sizes = ", ".join(f"{batch:g}" for batch in whole.columns)
    shown = f"per doubling, batch {sizes}: {found.shown}"
    return Estimate(found.value, found.low, found.high, shown, found.would_tell)


def change_of_norm(block: pd.DataFrame, which: str) -> Interval:
    """Mean slope of the log norm of an arm, as log change over the longest span; ends may be nan.

    As in `trends.fold_trend`, a unit weighs by the square of its span; but those of a cluster count
    as one replicate. It is the same where each cluster is one unit.

    Args:
        block: runs of one arm.
        which: `norm`, of mini-batches, or `query_norm`.
    """
    known = block[block[f"{which}_slope"].notna()]
    spans, unit = known[f"{which}_span"], cluster_of(block)
    table = pd.DataFrame({"weight": spans**2, "cluster": known[unit]})
    table["pushed"] = known[f"{which}_slope"] * spans.max() * table["weight"]
    sums = table.groupby("cluster").sum()
    if sums.empty:
        return UNKNOWN
    changes = (sums["pushed"] / sums["weight"]).to_numpy(float)
    if len(changes) < FEWEST:
        return Interval(float(np.average(changes, weights=sums["weight"])))
    return weighted_t_interval(changes, sums["weight"].to_numpy(float), level=LEVEL)


def gains(block: pd.DataFrame, split: str) -> dict[str, Contrast]:
    """After adaptation less before, in accuracy, for each arm; Holm over the arms.

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
    ends = {"1 before": first, "2 after": second}
    both = [_as_pairs(block, key).assign(**{WHEN: when}) for when, key in ends.items()]
    several = ("batch",) if block["arm"].nunique() > 1 else ()
    effect = effect_of(pd.concat(both, ignore_index=True), WHEN, by=several, measure="score")
    if not several:
        return {block["arm"].iloc[0]: effect.contrasts[0]}
    return {str(one.where[0][1]): one for one in effect.cells}


def between_arms(block: pd.DataFrame, measure: str, reference: str) -> tuple[Contrast, ...]:
    """Each arm less a reference, paired by fold and seed; Holm over the arms."""
    pairs = _as_pairs(block, measure)
    return effect_of(pairs, "batch", reference=reference, measure="score").contrasts


def word(one: Contrast) -> str:
    """What a difference comes to after Holm's correction: more, less, or cannot tell."""
    if one.verdict != "differs" or one.seeds < FEWEST:
        return "cannot tell"
    return "more" if one.difference > 0 else "less"


def gain_or_harm(one: Contrast) -> str:
    """What a difference in accuracy is called."""
    return {"more": "gain", "less": "harm"}.get(word(one), "cannot tell")


def _as_pairs(block: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Runs as `effects` compares them: seeds are clusters, folds what else tells pairs apart."""
    seed, fold = ("fold", "seed") if cluster_of(block) == "fold" else ("seed", "fold")
    names = {"status": "status", "arm": "batch", seed: "seed", fold: "fold", measure: "score"}
    return block[list(names)].rename(columns=names)
