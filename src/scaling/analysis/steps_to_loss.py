"""Steps and examples that a run takes to reach a loss, robust to noise.

The loss of a run is assumed to never rise, except for noise. Isotonic regression (Barlow et al.,
1972), the least-squares fit that never rises, needs no window and does not lag. Unlike running
means, it does not count the first lucky batch as an arrival; such luck is greatest at small batch
sizes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from scaling.contracts.columns import need

TAIL = 0.05  # last share of a run's lines; their mean shows whether the run stays at a loss
HALF = 0.5  # share of a run within which each batch size must reach the target
RUN, CELL, CROSSING = ["study", "run"], ["batch", "lr", "seed"], ["steps", "reached", "exact"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """When a run reached a loss: an upper bound if not exact, a lower one if not reached."""

    study: str
    run: str
    steps: float
    examples: float  # nan if the batch size is unknown
    reached: bool
    exact: bool


@dataclass(frozen=True)
class Arrivals:
    """When the runs of a sweep reached the lowest loss that all its batch sizes reach."""

    target: float  # nats; nan if no batch size has an lr at which all seeds ended
    loss: str  # the column of the target: `val_loss` or `train_loss`
    points: pd.DataFrame  # input of `scaling.analysis.critical_batch.tradeoff`


def arrivals(rows: pd.DataFrame, losses: pd.DataFrame) -> Arrivals:
    """Estimate the steps of every run to the lowest loss that all batch sizes reach in half a run.

    The target is the highest loss of all batch sizes; the loss of a batch size is that of its worst
    seed, at the lr where this is lowest. It is taken halfway through a run, since whether a loss is
    just reached at the end, where curves are flat, depends on noise. Batch sizes without an lr at
    which all seeds ended do not count, and diverged runs do not arrive. The target depends on the
    sweep, so targets of different sweeps are not comparable.

    Args:
        rows: as `scaling.results.read` gives them, of runs that differ only in `batch`, `lr` and
            `seed`; those that are neither done nor diverged are left out.
        losses: of these runs, as `scaling.results.epochs` gives them, or `scaling.results.steps`;
            runs without losses are left out.

    Raises:
        ValueError: for an absent column, or two runs of one batch, lr and seed.
    """
    need(rows, *RUN, *CELL, "status")
    name = _loss(losses)
    kept = rows.loc[rows["status"].isin(("done", "diverged")), [*RUN, *CELL, "status"]]
    if kept.duplicated(CELL).any():
        raise ValueError("two runs share batch, lr and seed; give runs that differ in nothing else")
    curves = {
        run: _Curve.of(lines, name)
        for run, lines in _by_run(losses[losses["run"].isin(kept["run"])])
    }
    measured = [run in curves for run in zip(kept["study"], kept["run"], strict=True)]
    kept = kept[np.array(measured, bool)]
    each = [curves[run] for run in zip(kept["study"], kept["run"], strict=True)]
    done = kept["status"] == "done"
    halfway = pd.Series([curve.halfway for curve in each], kept.index, dtype=float)
    kept = kept.assign(halfway=halfway.where(done, math.inf))
    table = kept.pivot(index=["batch", "seed"], columns="lr", values="halfway")
    worst = table.groupby("batch").agg(lambda seeds: seeds.max(skipna=False)).min(axis=1)
    target = float(worst[np.isfinite(worst)].max())
    crossed = pd.DataFrame([curve.crossing(target) for curve in each], kept.index, CROSSING)
    points = kept[CELL].join(crossed)
    return Arrivals(target, name, points.assign(reached=points["reached"].astype(bool) & done))


def steps_to_loss(
    losses: pd.DataFrame, target: float, *, batch: Mapping[str, int] | None = None
) -> tuple[Reach, ...]:
    """Estimate after how many steps the loss of each run reached a target.

    The loss is `val_loss` if the table has it (`scaling.results.epochs`), else `train_loss`
    (`scaling.results.steps`), smoothed by isotonic regression (Barlow et al., 1972). A run reached
    the target if it is still there at the end, by the mean of its last 5 % of lines. Losses that
    are not finite are left out.

    Args:
        losses: columns `study`, `run`, `step`, a loss, and `batch` for the number of examples.
        target: loss, in nats.
        batch: batch size of each run, for a table without this column.

    Returns:
        One `Reach` for each run, in the order of study and run.

    Raises:
        ValueError: for an absent column.
    """
    name = _loss(losses)
    reaches = []
    for (study, run), lines in _by_run(losses):
        after, reached, exact = _Curve.of(lines, name).crossing(target)
        size = lines["batch"].iloc[0] if "batch" in lines else (batch or {}).get(run, math.nan)
        reaches.append(Reach(study, run, after, float(after * size), reached, exact))
    return tuple(reaches)


@dataclass(frozen=True)
class _Curve:
    """A loss that never rises, as a series of falling levels."""

    levels: Array
    at: Array  # mean step of the lines of each level
    halfway: float
    tail: float  # mean of the last lines; nan if they are not finite
    last: float  # step

    @classmethod
    def of(cls, table: pd.DataFrame, loss: str) -> "_Curve":
        table = table.sort_values("step")
        step, losses = table["step"].to_numpy(float), table[loss].to_numpy(float)
        tail = float(losses[-max(1, round(TAIL * len(losses))) :].mean())
        seen = np.isfinite(losses)
        if not seen.any():
            return cls(np.array([]), np.array([]), math.inf, tail, float(step[-1]))
        fit = optimize.isotonic_regression(losses[seen], increasing=False)
        starts, lines = fit.blocks[:-1], np.diff(fit.blocks)
        at = np.add.reduceat(step[seen], starts) / lines
        halfway = float(fit.x[int(HALF * (len(fit.x) - 1))])
        return cls(fit.x[starts], at, halfway, tail, float(step[-1]))

    def crossing(self, target: float) -> tuple[float, bool, bool]:
        """Steps to a target, whether it is reached, and whether that is exact."""
        if not (len(self.levels) and self.levels[-1] <= target and self.tail <= target):
            return self.last, False, False
        after = float(np.interp(target, self.levels[::-1], self.at[::-1]))
        return after, True, bool(self.levels[0] > target)


def _loss(table: pd.DataFrame) -> str:
    """The name of the loss in a table of evaluations or steps."""
    loss = "val_loss" if "val_loss" in table else "train_loss"
    need(table, *RUN, "step", loss)
    return loss


def _by_run(losses: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    blocks: Any = losses.groupby(RUN, observed=True)
    yield from blocks
