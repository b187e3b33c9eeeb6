"""What changing one setting does to the loss: paired differences, with seeds as the replicates.

Runs that share everything but the setting, seed included, saw the same batches: their difference is
free of what both share. Differences are averaged over cells within a seed and compared over seeds,
since the cells of one seed are not independent of each other.
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

Where = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Contrast:
    """Level b less level a of a setting, in the measure's unit; nan where it is not known."""

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
    seeds_needed: float = math.nan  # for 80 % power, if all is as observed; inf is over 1000
    verdict: Literal["differs", "cannot tell"] = "cannot tell"
    reason: str = ""  # why one cannot tell, and what would
    notes: tuple[str, ...] = ()  # pairs that are lost or left out


@dataclass(frozen=True)
class Effect:
    """What a setting does: over all cells, and within the blocks that were asked for."""

    key: str
    measure: str
    level: float
    shared: tuple[str, ...]  # settings that vary and are equal within a pair, as is the seed
    contrasts: tuple[Contrast, ...]
    cells: tuple[Contrast, ...]  # a family of tests of its own
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
    """Estimate what changing a setting does to a measure, from paired differences over seeds.

    A difference is the mean over the cells of the grid, with equal weights: an effect that changes
    its sign from cell to cell may average out (`by` shows it). If seeds lack some cells, only the
    cells that all seeds have count. A pair with a diverged run has no difference and is counted.
    Intervals are t intervals over seeds for one contrast each; verdicts rest on p-values that are
    corrected for all contrasts (Holm, 1979).

    Args:
        rows: as `scaling.results.read` gives them.
        key: a setting that varies, such as clip.
        by: settings within each of whose values contrasts are given as well.
        reference: level that the others are compared with; None is the first in order.
        measure: column to compare.
        level: of the intervals, and 1 less the level of the tests.

    Raises:
        ValueError: for a missing column, a key that is no setting or does not vary, an unknown
            reference, or a level that is no probability.
    """
    check_level(level)
    pairs = pairing(rows, key, measure)
    if reference is not None and reference not in pairs.levels:
        raise ValueError(f"reference={reference} must be a {key} of these: {listed(pairs.levels)}")
    if unknown := [name for name in by if name not in pairs.shared]:
        raise ValueError(f"by={listed(unknown)} must vary beside {key}: {listed(pairs.shared)}")
    contrasts = paired_contrasts(pairs, reference=reference, level=level)
    cells = paired_contrasts(pairs, by=by, reference=reference, level=level) if by else ()
    return Effect(key, measure, level, tuple(pairs.shared), contrasts, cells, pairs.notes)


def paired_contrasts(
    pairs: Pairing, *, by: Sequence[str] = (), reference: object = None, level: float = LEVEL
) -> tuple[Contrast, ...]:
    """Compare each level with one of them, over replicates, corrected for each other (Holm).

    Args:
        pairs: the values.
        by: shared columns within each of whose values levels are compared; () is all cells at once.
        reference: level that the others are compared with; None is the first in order.
        level: of the intervals, and 1 less the level of the tests.
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
    """The values that some columns take together, and the cells that have them."""
    if not by:
        return [((), np.full(len(cells), True))]
    number = cells.groupby(list(by), dropna=False).ngroup().to_numpy()
    columns = [cells[name].tolist() for name in by]
    named = dict(zip(number.tolist(), zip(*columns, strict=True), strict=True))
    return [(tuple(zip(by, named[i], strict=True)), number == i) for i in sorted(named)]


def _contrast(
    pairs: Pairing, a: int, b: int, where: Where, inside: Flags, level: float
) -> Contrast:
    """Level b less level a in some cells, not yet corrected for other contrasts."""
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
        notes.append(f"{diverged} of {both.sum()} pairs diverged and have no difference")
    if (there != common).any():
        counted = "only those common to all count" if common.any() else "none is common to all"
        notes.append(f"cells differ between seeds: {counted}, {used.sum()} of {there.sum()} pairs")
    counts = (len(means), int(used.sum()), int(diverged_a.sum()), int(diverged_b.sum()))
    one = Contrast(pairs.levels[a], pairs.levels[b], where, *counts, notes=tuple(notes))
    return _measured(one, means, level)


def _measured(one: Contrast, means: Vector, level: float) -> Contrast:
    """The contrast with a t interval over the means of seeds, and what this many seeds can find."""
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
    """Why one cannot tell, and what would."""
    if one.pairs == 0:
        return "no two runs that share everything else have a difference"
    if one.seeds == 1:
        return "one seed: how much differences vary over seeds is not known; 3 would give an idea"
    if one.low == one.high == 0:
        return "all differences are exactly 0"
    needed = f"over {MOST}" if math.isinf(one.seeds_needed) else f"{one.seeds_needed:g}"
    if one.p < 1 - level:
        cause = f"p = {one.p:.2g} becomes {one.p_holm:.2g} among all contrasts; alone,"
    else:
        cause = f"{one.low:.2g} to {one.high:.2g} contains 0;"
    return (
        f"{cause} {one.seeds} seeds find {one.smallest_detectable:.2g} four times in five, and "
        f"{abs(one.difference):.2g} would take {needed}"
    )
