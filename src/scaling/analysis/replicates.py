"""Runs that are the same algorithm, and the noise that their differences show.

Two runs are replicates where they share every setting and the seed: one cell in two folders, or
ceilings on the gradient's norm that never bit, which is no ceiling at all. What they differ by came
from the machine, or from a setting without a column; a smaller effect is not to be believed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from scaling.analysis.intervals import LEVEL, check_level
from scaling.contracts.columns import ROOT_KEYS
from scaling.contracts.settings import settings_of

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Noise:
    """Standard deviation of a run, in the measure's unit; nan without replicates that differ.

    `low` and `high` are its chi-square interval, for normal noise of one size in all cells.
    """

    sd: float
    low: float
    high: float
    freedom: int  # degrees of freedom
    level: float
    reason: str = ""  # why no noise is known; empty if it is

    @property
    def reach(self) -> float:
        """How far two single runs of one algorithm lie apart at most, with probability `level`."""
        return self.sd * math.sqrt(2) * float(stats.t.ppf((1 + self.level) / 2, self.freedom or 1))


@dataclass(frozen=True)
class Group:
    """Runs of one algorithm and one seed."""

    rows: tuple[int, ...]  # positions in the table, from 0
    kind: Literal["same cell", "clip never bit"]
    description: str
    losses: tuple[float, ...]
    spread: float  # largest less smallest; 0 if they are bit-identical


@dataclass(frozen=True)
class Replicates:
    """The replicates of a table, what they say of noise, and what a reader must know."""

    groups: tuple[Group, ...]
    noise: Noise
    notes: tuple[str, ...]


def replicates(
    rows: pd.DataFrame, *, measure: str = "val_loss", level: float = LEVEL
) -> Replicates:
    """Find the runs that are the same algorithm, and estimate noise from their differences.

    Within a group equal losses count once: they show that a run repeats exactly, not that there is
    no noise. So the noise is that of runs which do differ. A digest decides where there is one:
    runs that share it are one cell; runs of one clip that differ in it are not.

    Args:
        rows: as `scaling.results.read` gives them. Settings without a column cannot be compared.
        measure: column to compare.
        level: of the interval.

    Raises:
        ValueError: for a missing column, or a level that is no probability.
    """
    values, diverged = outcomes(rows, measure)
    table = settings_table(rows)
    algorithm = table.copy()
    if {"clip", "clip_percent"} <= set(rows):
        algorithm.loc[rows["clip_percent"].to_numpy() == 0, "clip"] = math.inf
    clips = table["clip"] if "clip" in table else pd.Series(np.nan, table.index)
    varies = [key for key in table if key in ROOT_KEYS or table[key].nunique(dropna=False) > 1]
    groups, notes = [], []
    for here in _equal(algorithm, np.isfinite(values) | diverged):
        own = clips.iloc[here]
        merged = own.nunique() > 1
        shown = [key for key in varies if not (merged and key == "clip")]
        title = described((key, table[key].iloc[here[0]]) for key in shown)
        known = rows["digest"].iloc[here].to_numpy() if "digest" in rows else [None] * len(here)
        if pd.Series(known, own.index).groupby(own, dropna=False).nunique().max() > 1:
            notes.append(f"{title}: {len(here)} runs look alike and differ in digest: left out")
            continue
        done = here[~diverged[here]]
        if 0 < len(done) < len(here):
            notes.append(f"{title}: {len(here) - len(done)} of {len(here)} replicates diverged")
        if len(done) < 2:
            continue
        if merged:
            title += f": clip {' and '.join(f'{clip:g}' for clip in np.unique(own))} never bit"
        elif "study" in rows:
            title += f": in {' and '.join(dict.fromkeys(map(str, rows['study'].iloc[done])))}"
        losses = tuple(values[done].tolist())
        kind: Literal["same cell", "clip never bit"] = "clip never bit" if merged else "same cell"
        spread = max(losses) - min(losses)
        groups.append(Group(tuple(done.tolist()), kind, title, losses, spread))
    distinct = [np.unique(group.losses) for group in groups]
    return Replicates(tuple(groups), _pooled(distinct, level), tuple(notes))


def outcomes(rows: pd.DataFrame, measure: str) -> tuple[Vector, Flags]:
    """The measure of every run that is done, nan elsewhere; and which runs diverged.

    Raises:
        ValueError: for a missing column.
    """
    if absent := [key for key in ("status", measure) if key not in rows]:
        raise ValueError(f"rows must have a column {' and '.join(absent)}; results.read gives it")
    values = rows[measure].to_numpy(float)
    done = (rows["status"] == "done").to_numpy(bool) & np.isfinite(values)
    return np.where(done, values, np.nan), (rows["status"] == "diverged").to_numpy(bool)


def settings_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What tells one run from another, as far as a table shows it: choices and dotted keys.

    Null clip is inf. Runs that share a digest get one set of settings: else a path, or a key that
    one of two tables does not have, would tell a cell from itself.
    """
    table = rows[settings_of(rows)].reset_index(drop=True)
    if "clip" in table:
        table["clip"] = table["clip"].astype(float).fillna(math.inf)
    if "digest" in rows:
        digests = rows["digest"].reset_index(drop=True)
        own = digests.where(digests.notna(), digests.index.astype(str))  # its position, without one
        return table.groupby(own).transform("first")
    return table


def described(values: Iterable[tuple[str, object]]) -> str:
    """Settings as they are typed: `batch=32, lr=0.001`."""
    return ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values)


def listed(values: Iterable[object]) -> str:
    """Values as they are typed: `0.001, 0.01`."""
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _equal(table: pd.DataFrame, kept: Flags) -> Iterable[NDArray[np.int64]]:
    """Positions of kept rows that are equal, two or more each."""
    places = np.flatnonzero(kept)
    some = table.iloc[places].assign(any=0)  # a table of seeds alone is one cell
    codes = some.groupby(list(some), dropna=False, sort=False).ngroup().to_numpy()
    for code in range(codes.max(initial=-1) + 1):
        if (codes == code).sum() > 1:
            yield places[codes == code]


def _pooled(cells: list[Vector], level: float) -> Noise:
    """The noise of cells, each with the losses of its replicates."""
    freedom = sum(len(cell) - 1 for cell in cells)
    check_level(level)
    if freedom == 0:
        return Noise(math.nan, math.nan, math.nan, 0, level, "no two runs of one algorithm differ")
    squares = sum(float(np.square(cell - cell.mean()).sum()) for cell in cells)
    sd = math.sqrt(squares / freedom)
    tails = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], freedom)
    low, high = (sd * np.sqrt(freedom / tails)).tolist()
    return Noise(sd, low, high, freedom, level)
