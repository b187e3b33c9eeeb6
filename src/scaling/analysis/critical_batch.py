"""The gain from a larger batch: steps and examples to a target loss.

At the best lr of each batch, a target loss takes S steps and E = batch x S examples. They trade off
along a hyperbola (McCandlish et al., arXiv:1812.06162, eq. 2.11; measured by Shallue et al.,
arXiv:1811.03600),

    (S / S_min - 1) (E / E_min - 1) = 1,    that is    S = S_min (1 + B_crit / batch),

where B_crit = E_min / S_min is the critical batch size of this target.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.analysis.intervals import FEWEST, UNKNOWN, Interval, t_interval
from scaling.contracts.columns import alike, need
from scaling.contracts.words import counted

BATCHES = 4  # fewest batch sizes for a hyperbola
MISFIT = 0.01  # p-value below which the hyperbola is rejected
FAR = 10.0  # a critical batch this factor beyond the batch sizes tried may be 0 or infinite
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tradeoff:
    """The hyperbola of steps and examples; its parameters are nan unless it is identified."""

    identified: bool
    reason: str  # why not; empty if identified
    optima: tuple[tuple[int, float, float], ...]  # batch, its best lr, mean steps there
    missed: tuple[int, ...]  # batches that did not reach the target with every seed at any lr
    bounded: tuple[int, ...] = ()  # batches whose steps are an upper bound
    steps_min: Interval = UNKNOWN
    examples_min: Interval = UNKNOWN
    critical_batch: Interval = UNKNOWN


def tradeoff(points: pd.DataFrame) -> Tradeoff:
    """Fit the hyperbola of steps against examples at the best lr of each batch size.

    The formula is eq. 2.11 of McCandlish et al. (arXiv:1812.06162). The best lr takes the fewest
    steps to the target, by the geometric mean over seeds; every seed must reach the target. Less
    than one step counts as one. The hyperbola is fitted by least squares to the log steps of each
    seed, with 95 % t intervals over seeds for the logs of its parameters. Steps are not
    interpolated between learning rates, so a grid coarser than a factor of 2 overstates them.

    Args:
        points: columns `batch lr seed steps reached exact`, of runs that differ in nothing else:
            those of `scaling.analysis.steps_to_loss.arrivals`, or
            `pd.DataFrame(steps_to_loss(...))`, merged with the rows by study and run.

    Raises:
        ValueError: for an absent column, several settings, or two runs of one batch, lr and seed.
    """
    need(points, "batch", "lr", "seed", "steps", "reached", "exact")
    alike(points, "model", "data", "optimizer", "clip")
    if points.duplicated(["batch", "lr", "seed"]).any():
        raise ValueError("two runs share batch, lr and seed; give runs that differ in nothing else")
    optima, curves = [], {}
    bounds: defaultdict[str, list[int]] = defaultdict(list)  # reason -> batch sizes
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
            bounds[f"the best lr is the {side} tried: steps are an upper bound"].append(int(batch))
        if not block.loc[block["lr"] == best, "exact"].all():
            bounds["below the target when first measured"].append(int(batch))
    doubts = [f"batch {', '.join(map(str, at))}: {why}" for why, at in bounds.items()]
    table = pd.DataFrame(curves).dropna()
    if len(curves) < BATCHES:
        reach = counted(len(curves), "batch size reaches", "batch sizes reach")
        reach += f" the target on all seeds; {BATCHES} needed"
        doubts.insert(0, reach)
    elif len(table) < FEWEST:
        doubts.insert(
            0, f"{counted(len(table), 'seed')} at every batch size; an interval needs {FEWEST}"
        )
    missed = tuple(int(batch) for batch in sorted(set(points["batch"]) - set(curves)))
    if not doubts:
        doubts, estimates = _hyperbola(table.columns.to_numpy(float), table.to_numpy(float))
    bounded = tuple(sorted({batch for at in bounds.values() for batch in at}))
    if doubts:
        return Tradeoff(False, "; ".join(doubts), tuple(optima), missed, bounded)
    return Tradeoff(True, "", tuple(optima), missed, bounded, *estimates)


def _hyperbola(batches: Array, logs: Array) -> tuple[list[str], list[Interval]]:
    """Objections to the hyperbola, and its S_min, E_min and B_crit; `logs` has a row per seed."""
    x = np.log(batches)
    ends = x[0] - 2 * math.log(FAR), x[-1] + 2 * math.log(FAR)

    def misfit(critical: float, seed: Array) -> float:
        return float(np.var(seed - np.log1p(np.exp(critical - x))))

    exactly = {"bounds": ends, "options": {"xatol": 1e-9}}
    fits = [optimize.minimize_scalar(misfit, args=(seed,), **exactly).x for seed in logs]
    critical = np.array(fits)
    least = logs - np.log1p(np.exp(critical[:, None] - x))  # log S_min, estimated from each batch
    steps_min = least.mean(axis=1)
    numbers = [t_interval(number) for number in (steps_min, steps_min + critical, critical)]
    estimates = [Interval(*map(math.exp, (e.value, e.low, e.high))) for e in numbers]
    doubts = []
    if estimates[-1].high > FAR * batches[-1]:
        doubts.append("the critical batch has no upper bound: steps fall as 1 / batch throughout")
    if estimates[-1].low < batches[0] / FAR:
        doubts.append("the critical batch may be 0: steps hardly fall with the batch")
    if not batches[0] <= estimates[-1].value <= batches[-1]:
        doubts.append(f"the critical batch, {estimates[-1].value:.2g}, is outside the sizes tried")
    residuals = least - steps_min[:, None]
    common = residuals.mean(axis=0)  # to all seeds: the misfit of the hyperbola, and chance
    freedom = len(x) - 2, (len(logs) - 1) * (len(x) - 2)
    between = len(logs) * np.square(common).sum() / freedom[0]
    within = np.square(residuals - common).sum() / freedom[1]
    if within > 0 and stats.f.sf(between / within, *freedom) < MISFIT:
        doubts.append("the steps do not follow a hyperbola")
    return doubts, estimates
