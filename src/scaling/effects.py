"""What changing one setting does to the loss: paired differences, with seeds as the replicates.

Runs that share everything but the setting, seed included, saw the same batches: their difference is
free of what both share. Differences are averaged over cells within a seed and compared over seeds,
since the cells of one seed are not independent of each other.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.replicates import Flags, Vector, described, outcomes, settings

Where = tuple[tuple[str, object], ...]
POWER = 0.8  # chance of finding an effect that is called detectable
MOST = 1000  # seeds; nobody trains more to settle one contrast


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
    grid = _grid(rows, key, measure)
    if reference is not None and reference not in grid.levels:
        raise ValueError(f"reference={reference} must be a {key} of these: {_listed(grid.levels)}")
    if unknown := [name for name in by if name not in grid.shared]:
        raise ValueError(f"by={_listed(unknown)} must vary beside {key}: {_listed(grid.shared)}")
    first = 0 if reference is None else grid.levels.index(reference)
    every = range(len(grid.levels))
    pairs = [(i, j) for i in every for j in every if (i < j if every_pair else i == first != j)]
    everywhere: list[tuple[Where, Flags]] = [((), np.full(len(grid.cells), True))]
    contrasts, cells = (
        _judged([_contrast(grid, i, j, *at, level) for at in blocks for i, j in pairs], level)
        for blocks in (everywhere, _blocks(grid.cells, by))
    )
    return Effect(key, measure, level, tuple(grid.shared), contrasts, cells, tuple(grid.notes))


def holm(p: Sequence[float] | Vector) -> Vector:
    """P-values corrected for their number: the chance of any false one below a is at most a.

    The step-down procedure of Holm (1979), for tests of any dependence; nan is no test.

    Raises:
        ValueError: for a p-value that is no probability.
    """
    given = np.asarray(p, float)
    if ((given < 0) | (given > 1)).any():
        raise ValueError(f"p={given.tolist()} must lie between 0 and 1")
    order = np.argsort(given)[: np.isfinite(given).sum()]  # nan comes last
    corrected = np.full_like(given, np.nan)
    steps = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected


def power(shift: float, seeds: int, level: float) -> float:
    """The chance that a two-sided paired t test finds an effect, by the noncentral t distribution.

    Args:
        shift: true effect, in standard deviations of one seed's difference.
        seeds: at least 2.
        level: 1 less the level of the test.
    """
    bound = stats.t.ppf((1 + level) / 2, seeds - 1)
    away = min(1e9, abs(shift) * math.sqrt(seeds))  # scipy gives nan far beyond
    # The lower tail as the upper one of the mirror image: nct.cdf is nan where it is tiny.
    return float(sum(stats.nct.sf(bound, seeds - 1, away * side) for side in (1, -1)))


@lru_cache
def detectable(seeds: int, level: float) -> float:
    """The effect that is found with 80 % power; `power` says in what unit."""
    end = 10 + 4 * float(stats.t.ppf((1 + level) / 2, seeds - 1))
    return float(optimize.brentq(lambda shift: power(shift, seeds, level) - POWER, 0.0, end))


def seeds_needed(shift: float, level: float) -> float:
    """Seeds that find an effect with 80 % power, inf if more than 1000; `shift` as for `power`."""
    few, enough = 1, MOST
    if power(shift, MOST, level) < POWER:
        return math.inf
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if power(shift, middle, level) >= POWER else (middle, enough)
    return float(enough)


@dataclass(frozen=True)
class _Grid:
    """A sweep over one key; arrays run over seeds, cells and levels."""

    key: str
    levels: list[object]
    shared: list[str]
    cells: pd.DataFrame  # shared settings of each cell
    values: NDArray[np.float64]  # nan where a run diverged or there is none
    ran: NDArray[np.bool_]
    notes: list[str]


def _grid(rows: pd.DataFrame, key: str, measure: str) -> _Grid:
    values, lost = outcomes(rows, measure)
    if "seed" not in rows:
        raise ValueError("rows must have a column seed, the unit of replication")
    table = settings(rows)
    ended = table[(np.isfinite(values) | lost) & table["seed"].notna()]
    varies = [k for k in map(str, ended) if k != "seed" and ended[k].nunique(dropna=False) > 1]
    choices = [k for k in varies if ended[k].nunique() > 1]
    if key not in choices:
        raise ValueError(
            f"key={key} must be a setting that varies among the runs that ended, and not the seed; "
            f"what varies: {_listed(choices) or 'nothing'}"
        )
    kept = ended[ended[key].notna()]
    others = [k for k in varies if k != key and kept[k].nunique(dropna=False) > 1]
    follow = [k for k in others if kept.groupby(key)[k].nunique(dropna=False).max() == 1]
    # What belongs to a choice, as its momentum to an optimizer, is part of the level.
    shared = [k for k in others if k not in follow or not k.startswith(f"{key}.")]
    levels = sorted(kept[key].unique().tolist(), key=lambda v: (isinstance(v, str), v))
    cell = kept.groupby([*shared, np.zeros(len(kept))], dropna=False, sort=False).ngroup()
    seed, seeds = pd.factorize(kept["seed"])
    place = (seed, cell.to_numpy(), kept[key].map(levels.index).to_numpy(np.int64))
    shape = (len(seeds), int(cell.max()) + 1, len(levels))
    count, total = np.zeros(shape), np.zeros(shape)
    np.add.at(count, place, 1)
    np.add.at(total, place, values[kept.index])  # nan where one of them diverged
    out, many = len(rows) - len(kept), int((count > 1).sum())
    said = {
        f"left out, as they did not end or lack {measure} or {key}: {out} runs": out,
        f"effects that cannot be told from that of {key}: {_listed(follow)}": len(follow),
        f"averaged, as they are runs of one cell and seed: {many} times": many,
    }
    return _Grid(
        key, levels, shared, kept.assign(cell=cell).drop_duplicates("cell")[shared],
        total / np.where(count > 0, count, np.nan), count > 0, [n for n in said if said[n]],
    )  # fmt: skip


def _blocks(cells: pd.DataFrame, by: tuple[str, ...]) -> list[tuple[Where, Flags]]:
    """The values that some settings take together, and the cells that have them."""
    if not by:
        return []
    number = cells.groupby(list(by), dropna=False).ngroup().to_numpy()
    columns = [cells[name].tolist() for name in by]
    named = dict(zip(number.tolist(), zip(*columns, strict=True), strict=True))
    return [(tuple(zip(by, named[i], strict=True)), number == i) for i in sorted(named)]


def _contrast(grid: _Grid, a: int, b: int, where: Where, inside: Flags, level: float) -> Contrast:
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
    title = f"{grid.key} {_listed([grid.levels[a]])} to {_listed([grid.levels[b]])}"
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
    if len(means) < 2:
        return replace(one, difference=float(means[0]) if len(means) else math.nan)
    mean, sd = float(means.mean()), float(means.std(ddof=1))
    error = sd / math.sqrt(len(means))
    reach = error * float(stats.t.ppf((1 + level) / 2, len(means) - 1))
    p, needed = (1.0, math.inf) if mean == 0 else (0.0, 2.0)  # where all differences are equal
    if sd > 0:
        p = 2 * float(stats.t.sf(abs(mean) / error, len(means) - 1))
        needed = seeds_needed(mean / sd, level)
    return replace(
        one, difference=mean, low=mean - reach, high=mean + reach, p=p,
        smallest_detectable=sd * detectable(len(means), level), seeds_needed=needed,
    )  # fmt: skip


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
        cause = f"{one.low:.2g} to {one.high:.2g} holds 0;"
    return (
        f"{cause} {one.seeds} seeds find {one.smallest_detectable:.2g} four times in five, and "
        f"{abs(one.difference):.2g} would take {needed}"
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
