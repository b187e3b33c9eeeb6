"""What a wrong learning rate costs, and what a larger batch saves.

The loss lost when lr is off by a factor, as in the learning rate sensitivity of Wortsman et al.
(arXiv:2309.14322), and the steps S and examples E = batch x S that a target loss takes at the best
lr of each batch. These trade off along a hyperbola (McCandlish et al., arXiv:1812.06162, eq. 2.11;
measured by Shallue et al., arXiv:1811.03600),

    (S / S_min - 1) (E / E_min - 1) = 1,    that is    S = S_min (1 + B_crit / batch),

where B_crit = E_min / S_min is the critical batch size of this target.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

LEVEL = 0.95
MISFIT = 0.01  # p-value below which the hyperbola is not believed
FAR = 10.0  # a critical batch size this far beyond those tried is as good as 0 or infinite
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """The mean loss lost when lr is off by up to a factor, evenly on the log axis."""

    batch: int
    clip: float
    factor: float
    lost: float  # nats
    low: float  # of a t interval over seeds; nan for fewer than 3
    high: float
    covered: float  # share of [best / factor, best x factor] that was tried: the mean's range
    best: float  # lr
    seeds: int  # with a loss at every lr; others are left out
    capped: int  # losses that count as the ceiling
    caveat: str


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
class Interval:
    """A number and its t interval over seeds."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Tradeoff:
    """The hyperbola of steps and examples; its numbers are nan unless it is identified."""

    identified: bool
    reason: str  # why not; empty if identified
    optima: tuple[tuple[int, float, float], ...]  # batch, its best lr, mean steps there
    missed: tuple[int, ...]  # batches that did not reach the target with every seed at any lr
    steps_min: Interval = Interval()
    examples_min: Interval = Interval()
    critical_batch: Interval = Interval()


def sensitivity(
    rows: pd.DataFrame, *, ceiling: float | None = None, factors: Sequence[float] = (2.0, 3.0, 10.0)
) -> tuple[Sensitivity, ...]:
    """What a wrong lr costs for each batch, clip and factor, of runs that else differ in seed only.

    Loss less best loss, averaged over [best / factor, best x factor] on the log axis, with straight
    lines between the means of cells and nothing beyond the grid. It errs upwards: lines lie above a
    bowl, and the best of several noisy means is too low. Losses count as the ceiling at most, and
    a run that diverged counts as the ceiling.

    Args:
        rows: columns `batch lr clip seed status val_loss`, and `uniform_loss` for the ceiling.
        ceiling: nats, such as the unigram loss; None takes the uniform loss.
        factors: by which lr is off, above 1.

    Raises:
        ValueError: for an absent column, several settings at once, a factor that is not above 1, or
            a run that diverged where there is no ceiling.
    """
    _need(rows, "batch", "lr", "clip", "seed", "status", "val_loss")
    _one(rows, "model", "data", "optimizer", "protocol")
    if min(factors) <= 1:
        raise ValueError(f"factors={tuple(factors)} must be greater than 1")
    table = rows[rows["status"] != "corrupt"].fillna({"clip": math.inf})
    if ceiling is None:  # one data set, one uniform loss; rows that diverged may lack theirs
        ceiling = float(table["uniform_loss"].max()) if "uniform_loss" in table else math.nan
    diverged = table["status"] == "diverged"
    if math.isnan(ceiling) and diverged.any():
        raise ValueError("ceiling=None without uniform_loss: say what loss divergence counts as")
    losses = table["val_loss"].where(table["status"] == "done").mask(diverged, math.inf)
    capped = losses > ceiling
    table = table.assign(loss=losses.mask(capped, ceiling), capped=capped)
    blocks: Any = table.groupby(["batch", "clip"])
    return tuple(
        Sensitivity(int(batch), float(clip), float(factor), *_lost(block, float(factor)))
        for (batch, clip), block in blocks
        for factor in factors
    )


def steps_to_loss(
    steps: pd.DataFrame, target: float, *, smooth: int, batch: Mapping[str, int] | None = None
) -> tuple[Reach, ...]:
    """When each run first had a loss of `target` or less, its weights after so many steps.

    The loss is `val_loss` where the table has it (`scaling.results.epochs`), else `train_loss`
    (`scaling.results.steps`), as the mean of the last `smooth` lines; between two lines it is
    interpolated. The mean lags behind by (smooth - 1) / 2 lines, and noise that is left lets a run
    arrive early, most so at small batch sizes.

    Args:
        steps: columns `study run step`, a loss, and `batch` if examples are wanted.
        target: nats.
        smooth: lines, at least 1, which takes every loss as it is.
        batch: size for each run, where the table has no such column.

    Raises:
        ValueError: for an absent column, or a `smooth` below 1.
    """
    loss = "val_loss" if "val_loss" in steps else "train_loss"
    _need(steps, "study", "run", "step", loss)
    if smooth < 1:
        raise ValueError(f"smooth={smooth} must be at least 1 line")
    found = []
    blocks: Any = steps.groupby(["study", "run"], observed=True)
    for (study, run), own in blocks:
        own = own.sort_values("step")
        at, means = own["step"].to_numpy(float), np.full(len(own), math.inf)
        if len(own) >= smooth:
            means = sliding_window_view(own[loss].to_numpy(float), smooth).mean(axis=1)
            at = at[smooth - 1 :]
        first = int(np.argmax(means <= target))
        reached = bool(means[first] <= target)
        exact = reached and first > 0 and math.isfinite(means[first - 1])
        after = at[first] if reached else at[-1]
        if exact:
            after = np.interp(target, means[[first, first - 1]], at[[first, first - 1]])
        size = own["batch"].iloc[0] if "batch" in own else (batch or {}).get(run, math.nan)
        found.append(Reach(study, run, float(after), float(after * size), reached, exact))
    return tuple(found)


def tradeoff(points: pd.DataFrame) -> Tradeoff:
    """The hyperbola of steps and examples through the best lr of each batch.

    The best lr is that of the fewest steps, a geometric mean over seeds all of which reached the
    target there; less than one step counts as one. The hyperbola is fitted by least squares to the
    log steps of each seed, and t intervals over seeds are taken of the logs of its numbers. Nothing
    is interpolated between learning rates: a grid coarser than a factor of 2 takes too many steps.

    Args:
        points: columns `batch lr seed steps reached exact`, of runs that differ in nothing else:
            `pd.DataFrame(steps_to_loss(...))`, merged with the rows by study and run.

    Raises:
        ValueError: for an absent column, several settings, or two runs of one batch, lr and seed.
    """
    _need(points, "batch", "lr", "seed", "steps", "reached", "exact")
    _one(points, "model", "data", "optimizer", "clip")
    if points.duplicated(["batch", "lr", "seed"]).any():
        raise ValueError("two runs of one batch, lr and seed; give runs that differ in no more")
    optima, curves, doubts = [], {}, []
    blocks: Any = points.groupby("batch")
    for batch, block in blocks:
        timed = block.assign(log=np.log(block["steps"].clip(lower=1).where(block["reached"])))
        logs = timed.pivot(index="seed", columns="lr", values="log")
        means = logs.mean(axis=0, skipna=False)
        if means.isna().all():
            continue
        best = means.idxmin()
        optima.append((int(batch), float(best), float(np.exp(means[best]))))
        curves[batch] = logs[best]
        if best in (means.index[0], means.index[-1]):
            side = "highest" if best > means.index[0] else "lowest" if len(means) > 1 else "only"
            doubts.append(f"batch {batch}: the best lr is the {side} one, steps an upper bound")
        if not block.loc[block["lr"] == best, "exact"].all():
            doubts.append(f"batch {batch}: below the target when first measured")
    table = pd.DataFrame(curves).dropna()
    if len(curves) < 4:
        doubts.insert(0, f"{len(curves)} batch sizes reach the target with all seeds; it takes 4")
    elif len(table) < 3:
        doubts.insert(0, f"{len(table)} seeds at every batch size; an interval needs 3")
    missed = tuple(int(batch) for batch in sorted(set(points["batch"]) - set(curves)))
    if not doubts:
        doubts, estimates = _hyperbola(table.columns.to_numpy(float), table.to_numpy(float))
    if doubts:
        return Tradeoff(False, "; ".join(doubts), tuple(optima), missed)
    return Tradeoff(True, "", tuple(optima), missed, *estimates)


def _lost(
    block: pd.DataFrame, factor: float
) -> tuple[float, float, float, float, float, int, int, str]:
    """What `Sensitivity` says after the factor, of the runs of one batch and clip."""
    losses = block.groupby(["seed", "lr"])["loss"].mean().unstack()
    x, y = np.log(losses.columns.to_numpy(float)), losses.dropna().to_numpy(float)
    capped = int(block["capped"].sum())
    told = [f"{capped} losses count as the ceiling"] if capped else []
    if len(y) < 3:
        told.append(f"{len(y)} seeds with a loss at every lr; an interval needs 3")
    if not len(y):
        return *(math.nan,) * 3, 0.0, math.nan, 0, capped, "; ".join(told)
    best, reach = int(y.mean(axis=0).argmin()), math.log(factor)
    if best in (0, len(x) - 1):
        side = "highest" if best else "lowest" if len(x) > 1 else "only"
        told.append(f"the best lr is the {side} one")
    ends = np.clip([x[best] - reach, x[best] + reach], x[0], x[-1])
    lost = Interval()
    if block.loc[block["lr"] == losses.columns[best], "capped"].all():
        told.append("no lr ends below the ceiling")
    elif np.ptp(ends) > 0:
        at = np.unique([*ends, *x[(x > ends[0]) & (x < ends[1])]])
        lines = np.array([np.interp(at, x, own) for own in y])
        lost = _interval(integrate.trapezoid(lines, at) / np.ptp(ends) - y[:, best])
    covered = min(1.0, float(np.ptp(ends) / (2 * reach)))
    numbers = (lost.value, lost.low, lost.high, covered)
    return *numbers, float(losses.columns[best]), len(y), capped, "; ".join(told)


def _hyperbola(batches: Array, logs: Array) -> tuple[list[str], list[Interval]]:
    """What speaks against the hyperbola, and its S_min, E_min and B_crit; seeds are in lines."""
    x = np.log(batches)
    ends = x[0] - 2 * math.log(FAR), x[-1] + 2 * math.log(FAR)

    def misfit(critical: float, own: Array) -> float:
        return float(np.var(own - np.log1p(np.exp(critical - x))))

    exactly = {"bounds": ends, "options": {"xatol": 1e-9}}
    fits = [optimize.minimize_scalar(misfit, args=(own,), **exactly).x for own in logs]
    critical = np.array(fits)
    least = logs - np.log1p(np.exp(critical[:, None] - x))  # log S_min, as each batch has it
    steps_min = least.mean(axis=1)
    numbers = [_interval(number) for number in (steps_min, steps_min + critical, critical)]
    found = [Interval(*map(math.exp, (e.value, e.low, e.high))) for e in numbers]
    doubts = []
    if found[-1].high > FAR * batches[-1]:
        doubts.append("the critical batch has no end: steps fall as 1 / batch to the last")
    if found[-1].low < batches[0] / FAR:
        doubts.append("the critical batch may be 0: steps hardly fall with the batch")
    if not batches[0] <= found[-1].value <= batches[-1]:
        doubts.append(f"the critical batch, {found[-1].value:.2g}, lies outside those tried")
    residuals = least - steps_min[:, None]
    common = residuals.mean(axis=0)  # to all seeds: what the hyperbola lacks, beside chance
    freedom = len(x) - 2, (len(logs) - 1) * (len(x) - 2)
    between = len(logs) * np.square(common).sum() / freedom[0]
    within = np.square(residuals - common).sum() / freedom[1]
    if within > 0 and stats.f.sf(between / within, *freedom) < MISFIT:
        doubts.append("the steps lie on no hyperbola")
    return doubts, found


def _interval(values: Array) -> Interval:
    mean, reach = float(values.mean()), math.nan
    if len(values) > 2:
        reach = float(stats.sem(values) * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return Interval(mean, mean - reach, mean + reach)


def _one(table: pd.DataFrame, *settings: str) -> None:
    for setting in settings:
        if setting in table and table[setting].nunique() > 1:
            raise ValueError(f"{setting} has several values; give the runs of one at a time")


def _need(table: pd.DataFrame, *columns: str) -> None:
    if absent := [column for column in columns if column not in table]:
        raise ValueError(f"no column {', '.join(absent)} in this table")
