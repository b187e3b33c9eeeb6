"""The effect of one setting on the loss: paired differences, with seeds as the replicates.

Runs that differ only in the setting share their seed and so their batches, and what they share
cancels in their difference. Differences are averaged over cells within a seed, then compared over
seeds, since the cells of one seed are not independent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis.intervals import LEVEL, check_level, t_interval
from scaling.analysis.pairing import Pairing, pairing
from scaling.analysis.replicates import Flags, Vector, listed
from scaling.analysis.significance import MOST, detectable, holm, seeds_needed
from scaling.contracts.words import counted

Where = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Contrast:
    """Level b minus level a of a setting, in the measure's unit; nan if unknown."""

    a: object
    b: object
    where: Where  # settings held fixed; () is all cells
    seeds: int
    pairs: int
    diverged_a: int  # pairs without a difference because the run at a diverged
    diverged_b: int
    difference: float = math.nan  # mean over seeds of each seed's mean over its pairs
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    smallest_detectable: float = math.nan  # true effect found with 80 % power, at this spread
    seeds_needed: float = math.nan  # for 80 % power, if all is as observed; inf if over 1000
    verdict: Literal["differs", "inconclusive"] = "inconclusive"
    reason: str = ""  # why the verdict is `inconclusive`, and what would change it
    notes: tuple[str, ...] = ()  # pairs that diverged or are left out


@dataclass(frozen=True)
class Effect:
    """The effect of a setting: over all cells, and within the requested blocks."""

    key: str
    measure: str
    level: float
    shared: tuple[str, ...]  # settings that vary and are equal within a pair, as is the seed
    contrasts: tuple[Contrast, ...]
    cells: tuple[Contrast, ...]  # a separate family of tests
    notes: tuple[str, ...]  # settings confounded with it, runs left out or averaged


def effect_of(
    rows: pd.DataFrame,
    key: str,
    *,
    by: tuple[str, ...] = (),
    reference: object = None,
    measure: str = "val_loss",
    level: float = LEVEL,
) -> Effect:
    """Estimate the effect of a setting on a measure, from paired differences over seeds.

    A difference is the mean over the cells of the grid, with equal weights: an effect whose sign
    changes between cells may average out (`by` shows it). If some seeds lack cells, only the cells
    that all seeds have count. Pairs with a diverged run have no difference; their number is given.
    Intervals are t intervals over seeds for one contrast each; verdicts use p-values corrected for
    all contrasts (Holm, 1979).

    Args:
        rows: as `scaling.results.read` gives them.
        key: a setting that varies, such as clip.
        by: settings; contrasts are also given for each of their values.
        reference: level that the others are compared with; None is the first in order.
        measure: column to compare.
        level: of the intervals, and 1 minus the level of the tests.

    Raises:
        ValueError: for a missing column, a key that is not a setting or does not vary, an unknown
            reference, or a level outside (0, 1).
    """
    check_level(level)
    pairs = pairing(rows, key, measure)
    if reference is not None and reference not in pairs.levels:
        raise ValueError(f"reference={reference} must be a {key}, one of {listed(pairs.levels)}")
    if unknown := [name for name in by if name not in pairs.shared]:
        raise ValueError(
            f"by={listed(unknown)} must vary, and not be {key}; what varies: {listed(pairs.shared)}"
        )
    contrasts = paired_contrasts(pairs, reference=reference, level=level)
    cells = paired_contrasts(pairs, by=by, reference=reference, level=level) if by else ()
    return Effect(key, measure, level, tuple(pairs.shared), contrasts, cells, pairs.notes)


def paired_contrasts(
    pairs: Pairing, *, by: Sequence[str] = (), reference: object = None, level: float = LEVEL
) -> tuple[Contrast, ...]:
    """Compare each level with the reference over replicates, Holm-corrected for all contrasts.

    Args:
        pairs: the values.
        by: shared columns; levels are compared for each of their values. () is all cells at once.
        reference: level that the others are compared with; None is the first in order.
        level: of the intervals, and 1 minus the level of the tests.
    """
    first = 0 if reference is None else pairs.levels.index(reference)
    others = [other for other in range(len(pairs.levels)) if other != first]
    contrasts = [
        _contrast(pairs, first, other, where, inside, level)
        for where, inside in _blocks(pairs.cells, by)
        for other in others
    ]
    corrected = holm([one.p for one in contrasts]).tolist()
    judged = [replace(one, p_holm=p) for one, p in zip(contrasts, corrected, strict=True)]
    return tuple(
        replace(one, verdict="differs")
        if one.p_holm < 1 - level
        else replace(one, reason=_why(one, level))
        for one in judged
    )


def _blocks(cells: pd.DataFrame, by: Sequence[str]) -> list[tuple[Where, Flags]]:
    """Each combination of values of some columns, and the cells that have it."""
    if not by:
        return [((), np.full(len(cells), True))]
    number = cells.groupby(list(by), dropna=False).ngroup().to_numpy()
    columns = [cells[name].tolist() for name in by]
    named = dict(zip(number.tolist(), zip(*columns, strict=True), strict=True))
    return [(tuple(zip(by, named[i], strict=True)), number == i) for i in sorted(named)]


def _contrast(
    pairs: Pairing, a: int, b: int, where: Where, inside: Flags, level: float
) -> Contrast:
    """Level b minus level a in some cells, not yet corrected for other contrasts."""
    ran, values = pairs.ran[:, inside], pairs.values[:, inside]
    both = ran[..., a] & ran[..., b]
    diverged_a, diverged_b = (both & np.isnan(values[..., i]) for i in (a, b))
    differences = values[..., b] - values[..., a]
    there = np.isfinite(differences)
    differences, there = differences[there.any(axis=1)], there[there.any(axis=1)]
    common = there.all(axis=0)
    used = there & common if common.any() else there
    means = np.where(used, differences, 0).sum(axis=1) / used.sum(axis=1)
    notes = []
    if diverged := int((diverged_a | diverged_b).sum()):
        of = counted(int(both.sum()), "pair")
        notes.append(f"{diverged} of {of} diverged, without a difference")
    if (there != common).any():
        kept = "only common ones count" if common.any() else "no cell is common to all"
        notes.append(f"cells differ between seeds: {kept}, {used.sum()} of {there.sum()} pairs")
    counts = (len(means), int(used.sum()), int(diverged_a.sum()), int(diverged_b.sum()))
    one = Contrast(pairs.levels[a], pairs.levels[b], where, *counts, notes=tuple(notes))
    return _measured(one, means, level)


def _measured(one: Contrast, means: Vector, level: float) -> Contrast:
    """The contrast with a t interval over the means of seeds, and its detectable effect."""
    interval, seeds = t_interval(means, level=level, fewest=2), len(means)
    one = replace(one, difference=interval.value, low=interval.low, high=interval.high)
    if seeds < 2:
        return one
    sd = float(means.std(ddof=1))
    p, needed = (1.0, math.inf) if interval.value == 0 else (0.0, 2.0)  # where all are equal
    if sd > 0:
        p = 2 * float(stats.t.sf(abs(interval.value) / sd * math.sqrt(seeds), seeds - 1))
        needed = seeds_needed(interval.value / sd, level)
    smallest = sd * detectable(seeds, level)
    return replace(one, p=p, smallest_detectable=smallest, seeds_needed=needed)


def _why(one: Contrast, level: float) -> str:
    """The reason why the verdict is `inconclusive`, and what would change it."""
    if one.pairs == 0:
        return "no two runs that share everything else have a difference"
    if one.seeds == 1:
        return "one seed: the spread of differences over seeds is unknown; 3 would estimate it"
    if one.low == one.high == 0:
        return "all differences are exactly 0"
    needed = f"over {MOST}" if math.isinf(one.seeds_needed) else f"{one.seeds_needed:g}"
    if one.p < 1 - level:
        cause = f"p = {one.p:.2g} becomes {one.p_holm:.2g} with Holm's correction; without it,"
    else:
        cause = f"{one.low:.2g} to {one.high:.2g} contains 0;"
    return (
        f"{cause} {one.seeds} seeds detect {one.smallest_detectable:.2g} with 80 % power, and "
        f"{abs(one.difference):.2g} would take {needed}"
    )
