"""Runs of the same algorithm, and the noise estimated from their differences.

Two runs are replicates if they share every setting and the seed: one cell in two folders, or clips
that were never reached and so equal no clipping. Replicates differ because of the machine, or of a
setting without a column; do not trust effects that are smaller than their differences.
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
from scaling.contracts.settings import AXIS, settings_of

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
    reason: str = ""  # why the noise is unknown; empty if known

    @property
    def reach(self) -> float:
        """The largest difference of two single runs of one algorithm, with probability `level`."""
        return self.sd * math.sqrt(2) * float(stats.t.ppf((1 + self.level) / 2, self.freedom or 1))


@dataclass(frozen=True)
class Group:
    """Runs of one algorithm and one seed."""

    rows: tuple[int, ...]  # positions in the table, from 0
    kind: Literal["same cell", "clip never reached"]
    description: str
    losses: tuple[float, ...]
    spread: float  # largest minus smallest; 0 if they are bit-identical


@dataclass(frozen=True)
class Replicates:
    """The replicates of a table, the noise estimated from them, and notes for the reader."""

    groups: tuple[Group, ...]
    noise: Noise
    notes: tuple[str, ...]


def replicates(
    rows: pd.DataFrame, *, measure: str = "val_loss", level: float = LEVEL
) -> Replicates:
    """Find the runs of the same algorithm, and estimate noise from their differences.

    Within a group, equal losses count once: they show that a run repeats exactly, not that there is
    no noise. So the noise is that of runs that do differ. If rows have a digest, it decides: runs
    that share it are one cell; runs with the same clip and different digests are not.

    Args:
        rows: as `scaling.results.read` gives them. Settings without a column cannot be compared.
        measure: column to compare.
        level: of the interval.

    Raises:
        ValueError: for a missing column, or a level outside (0, 1).
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
        group_clips = clips.iloc[here]
        merged = group_clips.nunique() > 1
        shown = [key for key in varies if not (merged and key == "clip")]
        title = described((key, table[key].iloc[here[0]]) for key in shown)
        digests = rows["digest"].iloc[here].to_numpy() if "digest" in rows else [None] * len(here)
        by_clip = pd.Series(digests, group_clips.index).groupby(group_clips, dropna=False)
        if by_clip.nunique().max() > 1:
            notes.append(f"{title}: {len(here)} similar runs differ in digest and are left out")
            continue
        done = here[~diverged[here]]
        if 0 < len(done) < len(here):
            notes.append(f"{title}: {len(here) - len(done)} of {len(here)} replicates diverged")
        if len(done) < 2:
            continue
        if merged:
            names = " and ".join(f"{clip:g}" for clip in np.unique(group_clips))
            title += f": clip {names} were never reached"
        elif "study" in rows:
            title += f": in {' and '.join(dict.fromkeys(map(str, rows['study'].iloc[done])))}"
        losses = tuple(values[done].tolist())
        kind: Literal["same cell", "clip never reached"] = (
            "clip never reached" if merged else "same cell"
        )
        spread = max(losses) - min(losses)
        groups.append(Group(tuple(done.tolist()), kind, title, losses, spread))
    distinct = [np.unique(group.losses) for group in groups]
    return Replicates(tuple(groups), _pooled(distinct, level), tuple(notes))


def outcomes(rows: pd.DataFrame, measure: str) -> tuple[Vector, Flags]:
    """The measure of every finished run, nan for all others; and which runs diverged.

    Raises:
        ValueError: for a missing column.
    """
    if absent := [key for key in ("status", measure) if key not in rows]:
        raise ValueError(f"rows must have a column {' and '.join(absent)}; results.read gives it")
    values = rows[measure].to_numpy(float)
    done = (rows["status"] == "done").to_numpy(bool) & np.isfinite(values)
    return np.where(done, values, np.nan), (rows["status"] == "diverged").to_numpy(bool)


def settings_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The settings that distinguish runs, as far as a table has them: choices and dotted keys.

    A null clip is inf. Runs that share a digest get the same settings: otherwise a path, or a key
    missing from one of two tables, would split a cell.
    """
    table = rows[settings_of(rows)].reset_index(drop=True)
    table = table.rename(columns=lambda key: str(key).removeprefix(AXIS))
    if "clip" in table:
        table["clip"] = table["clip"].astype(float).fillna(math.inf)
    if "digest" in rows:
        digests = rows["digest"].reset_index(drop=True)
        cells = digests.where(digests.notna(), digests.index.astype(str))  # position if no digest
        return table.groupby(cells).transform("first")
    return table


def described(values: Iterable[tuple[str, object]]) -> str:
    """Settings as they are typed: `batch=32, lr=0.001`."""
    return ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values)


def listed(values: Iterable[object]) -> str:
    """Values as they are typed: `0.001, 0.01`."""
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _equal(table: pd.DataFrame, kept: Flags) -> Iterable[NDArray[np.int64]]:
    """The positions of each group of two or more equal rows among the kept ones."""
    places = np.flatnonzero(kept)
    kept_rows = table.iloc[places].assign(any=0)  # a table of seeds alone is one cell
    codes = kept_rows.groupby(list(kept_rows), dropna=False, sort=False).ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    groups = np.split(places[order], np.flatnonzero(np.diff(codes[order])) + 1)
    return [group for group in groups if len(group) > 1]


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
