"""What changing one setting does to the loss: paired differences, with seeds as the replicates.

Runs that share everything but the setting, seed included, saw the same batches: their difference is
free of what both share. Differences are averaged over cells within a seed and compared over seeds,
since the cells of one seed are not independent of each other.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis.intervals import t_interval
from scaling.analysis.pairing import Pairing, pairing
from scaling.analysis.replicates import Flags, Vector, described, listed
from scaling.analysis.significance import MOST, detectable, holm, seeds_needed

Where = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Contrast:
    """Level b less level a of a setting, in the measure's unit; nan is what cannot be known."""

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


@dataclass(frozen=True)
class Effect:
    """What a setting does: over all cells, and within the blocks that were asked for."""

    key: str
    measure: str
    level: float
    shared: tuple[str, ...]  # settings that vary, equal within a pair; so is the seed
    contrasts: tuple[Contrast, ...]
    cells: tuple[Contrast, ...]  # a family of tests of its own
    notes: tuple[str, ...]


def effect_of(
    rows: pd.DataFrame,
    key: str,
    *,
    by: tuple[str, ...] = (),
    reference: object = None,
    every_pair: bool = False,
    measure: str = "val_loss",
    level: float = 0.95,
) -> Effect:
    """What changing `key` does to `measure`: t intervals over seeds of paired differences.

    The difference is a mean over the cells of this grid, all weighing the same: an effect that
    changes its sign from cell to cell may average out (`by` shows it). Seeds that lack some cells
    leave those that all have; a pair with a diverged run has no difference and is counted.
    Intervals are for one contrast each; verdicts rest on p-values corrected for all (Holm, 1979).

    Args:
        rows: as `scaling.results.read` gives them.
        key: a setting that varies, such as clip.
        by: settings within each of whose values contrasts are given as well.
        reference: level that the others are compared with; None is the first in order.
        every_pair: compare all levels with each other instead.
        measure: column to compare.
        level: of the intervals, and 1 less the level of the tests.

    Raises:
        ValueError: for a missing column, a key that is no setting or does not vary, an unknown
            reference, or a level that is no probability.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1; 0.95 is usual")
    grid = pairing(rows, key, measure)
    if reference is not None and reference not in grid.levels:
        raise ValueError(f"reference={reference} must be a {key} of these: {listed(grid.levels)}")
    if unknown := [name for name in by if name not in grid.shared]:
        raise ValueError(f"by={listed(unknown)} must vary beside {key}: {listed(grid.shared)}")
    first = 0 if reference is None else grid.levels.index(reference)
    every = range(len(grid.levels))
    pairs = [(i, j) for i in every for j in every if (i < j if every_pair else i == first != j)]
    everywhere: list[tuple[Where, Flags]] = [((), np.full(len(grid.cells), True))]
    contrasts, cells = (
        _judged([_contrast(grid, i, j, *at, level) for at in blocks for i, j in pairs], level)
        for blocks in (everywhere, _blocks(grid.cells, by))
    )
    return Effect(key, measure, level, tuple(grid.shared), contrasts, cells, tuple(grid.notes))


def _blocks(cells: pd.DataFrame, by: tuple[str, ...]) -> list[tuple[Where, Flags]]:
    """The values that some settings take together, and the cells that have them."""
    if not by:
        return []
    number = cells.groupby(list(by), dropna=False).ngroup().to_numpy()
    columns = [cells[name].tolist() for name in by]
    named = dict(zip(number.tolist(), zip(*columns, strict=True), strict=True))
    return [(tuple(zip(by, named[i], strict=True)), number == i) for i in sorted(named)]


def _contrast(grid: Pairing, a: int, b: int, where: Where, inside: Flags, level: float) -> Contrast:
    """Level b less level a in some cells, not yet corrected for other contrasts."""
    ran, values = grid.ran[:, inside], grid.values[:, inside]
    both = ran[..., a] & ran[..., b]
    lost_a, lost_b = (both & np.isnan(values[..., i]) for i in (a, b))
    differences = values[..., b] - values[..., a]
    there = np.isfinite(differences)
    differences, there = differences[there.any(axis=1)], there[there.any(axis=1)]
    common = there.all(axis=0)
    used = there & common if common.any() else there
    means = np.where(used, differences, 0).sum(axis=1) / used.sum(axis=1)
    title = f"{grid.key} {listed([grid.levels[a]])} to {listed([grid.levels[b]])}"
    title += f" at {described(where)}" if where else ""
    if lost := int((lost_a | lost_b).sum()):
        grid.notes.append(f"{title}: {lost} of {both.sum()} pairs diverged and have no difference")
    if (there != common).any():
        left = f"those that all have count, {used.sum()} of {there.sum()} pairs"
        left = left if common.any() else "none is common to all, which widens the interval"
        grid.notes.append(f"{title}: cells differ between seeds; {left}")
    counts = (len(means), int(used.sum()), int(lost_a.sum()), int(lost_b.sum()))
    return _measured(Contrast(grid.levels[a], grid.levels[b], where, *counts), means, level)


def _measured(one: Contrast, means: Vector, level: float) -> Contrast:
    """A t interval over the means of seeds, and what this many seeds can find."""
    found, many = t_interval(means, level=level, fewest=2), len(means)
    one = replace(one, difference=found.value, low=found.low, high=found.high)
    if many < 2:
        return one
    sd = float(means.std(ddof=1))
    p, needed = (1.0, math.inf) if found.value == 0 else (0.0, 2.0)  # where all are equal
    if sd > 0:
        p = 2 * float(stats.t.sf(abs(found.value) / sd * math.sqrt(many), many - 1))
        needed = seeds_needed(found.value / sd, level)
    smallest = sd * detectable(many, level)
    return replace(one, p=p, smallest_detectable=smallest, seeds_needed=needed)


def _judged(family: list[Contrast], level: float) -> tuple[Contrast, ...]:
    """Contrasts with p-values corrected for each other, and what follows."""
    corrected = holm([one.p for one in family]).tolist()
    family = [replace(one, p_holm=p) for one, p in zip(family, corrected, strict=True)]
    return tuple(
        replace(one, verdict="differs")
        if one.p_holm < 1 - level
        else replace(one, reason=_why(one, level))
        for one in family
    )


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
