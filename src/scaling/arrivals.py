"""When a run reached a loss: its steps and its examples, by a running mean that does not lag."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from scaling.columns import need

SHARE = 0.05  # of a run's steps, over which its training loss is averaged
RUN, CELL, CROSSING = ["study", "run"], ["batch", "lr", "seed"], ["steps", "reached", "exact"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """When a run reached a loss. If not exact: no later than that, or later if not reached."""

    study: str
    run: str
    steps: float
    examples: float  # nan if the batch size is not known
    reached: bool
    exact: bool


@dataclass(frozen=True)
class Arrivals:
    """When the runs of a sweep reached the lowest loss that all its batch sizes end at."""

    target: float  # nats; nan if no batch size has an lr at which all seeds ended
    loss: str  # that it is a value of: `val_loss` or `train_loss`
    points: pd.DataFrame  # as `tradeoff` takes them


def arrivals(rows: pd.DataFrame, losses: pd.DataFrame) -> Arrivals:
    """The steps of every run to the lowest loss that all batch sizes end at.

    A loss is a validation loss, or the mean of training losses over 5 % of a run, about the step
    in the middle. A batch size ends at what its worst seed does at the lr at which this is lowest;
    the target is the highest of these, so that every batch size arrives with all its seeds at one
    lr at least. Batch sizes without such an lr, at which some seed diverged or is missing, do not
    count. The target rests on the runs themselves: another sweep has another.

    Args:
        rows: as `scaling.results.read` gives them, of runs that differ in nothing but `batch`, `lr`
            and `seed`; those that are neither done nor diverged are left out.
        losses: of these runs, as `scaling.results.epochs` gives them, or `scaling.results.steps`;
            runs that are not among them are left out.

    Raises:
        ValueError: for an absent column, or two runs of one batch, lr and seed.
    """
    need(rows, *RUN, "batch", "lr", "seed", "status")
    name = _loss(losses)
    kept = rows.loc[rows["status"].isin(("done", "diverged")), [*RUN, *CELL, "status"]]
    if kept.duplicated(CELL).any():
        raise ValueError("two runs of one batch, lr and seed; give runs that differ in no more")
    share = SHARE if name == "train_loss" else 0.0
    curves = {
        run: _smoothed(own, max(1, round(share * len(own))), name)
        for run, own in _by_run(losses[losses["run"].isin(kept["run"])])
    }
    kept = kept[[run in curves for run in zip(kept["study"], kept["run"], strict=True)]]
    own = [curves[run] for run in zip(kept["study"], kept["run"], strict=True)]
    ends = pd.Series([means[-1] for _, means in own], kept.index, dtype=float)
    kept = kept.assign(end=ends.where(kept["status"] == "done").fillna(math.inf))
    table = kept.pivot(index=["batch", "seed"], columns="lr", values="end")
    worst = table.groupby("batch").agg(lambda seeds: seeds.max(skipna=False)).min(axis=1)
    target = float(worst[np.isfinite(worst)].max())
    crossed = [_crossing(*curve, target) for curve in own]
    return Arrivals(target, name, kept[CELL].join(pd.DataFrame(crossed, kept.index, CROSSING)))


def steps_to_loss(
    losses: pd.DataFrame, target: float, *, smooth: int, batch: Mapping[str, int] | None = None
) -> tuple[Reach, ...]:
    """When each run first had a loss of `target` or less, its weights after so many steps.

    The loss is `val_loss` where the table has it (`scaling.results.epochs`), else `train_loss`
    (`scaling.results.steps`), as the mean of `smooth` lines about the step in their middle; between
    two such means it is interpolated. A curve that bends upwards, as losses do, arrives late by
    what it bends within the lines; noise that is left lets a run arrive early, most so at small
    batch sizes.

    Args:
        losses: columns `study run step`, a loss, and `batch` if examples are wanted.
        target: nats.
        smooth: lines, at least 1, which takes every loss as it is.
        batch: size for each run, where the table has no such column.

    Raises:
        ValueError: for an absent column, or a `smooth` below 1.
    """
    name = _loss(losses)
    if smooth < 1:
        raise ValueError(f"smooth={smooth} must be at least 1 line")
    found = []
    for (study, run), own in _by_run(losses):
        after, reached, exact = _crossing(*_smoothed(own, smooth, name), target)
        size = own["batch"].iloc[0] if "batch" in own else (batch or {}).get(run, math.nan)
        found.append(Reach(study, run, after, float(after * size), reached, exact))
    return tuple(found)


def _loss(table: pd.DataFrame) -> str:
    """The loss that a table of evaluations, or of steps, has."""
    loss = "val_loss" if "val_loss" in table else "train_loss"
    need(table, *RUN, "step", loss)
    return loss


def _by_run(losses: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    blocks: Any = losses.groupby(RUN, observed=True)
    yield from blocks


def _smoothed(own: pd.DataFrame, lines: int, loss: str) -> tuple[Array, Array]:
    """Mean steps and mean losses of so many lines of a run; inf for a run that is shorter."""
    own = own.sort_values("step")
    at, losses = own["step"].to_numpy(float), own[loss].to_numpy(float)
    if len(own) < lines:
        return at[-1:], np.full(1, math.inf)
    at, losses = (sliding_window_view(column, lines).mean(axis=1) for column in (at, losses))
    return at, losses


def _crossing(at: Array, means: Array, target: float) -> tuple[float, bool, bool]:
    """When a curve comes down to a target, whether it does, and whether that is exact."""
    first = int(np.argmax(means <= target))
    reached = bool(means[first] <= target)
    exact = reached and first > 0 and math.isfinite(means[first - 1])
    after = at[first] if reached else at[-1]
    if exact:
        after = np.interp(target, means[[first, first - 1]], at[[first, first - 1]])
    return float(after), reached, exact
