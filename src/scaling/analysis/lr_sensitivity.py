"""The cost of a wrong learning rate: the loss lost when lr is off by a factor.

Like the learning rate sensitivity of Wortsman et al. (arXiv:2309.14322), but around the best lr of
each batch size, within a factor of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import integrate

from scaling.analysis.intervals import FEWEST, UNKNOWN, t_interval
from scaling.contracts.columns import alike, need
from scaling.contracts.words import counted

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """The mean loss lost when lr is off by up to a factor, evenly on the log axis."""

    batch: int
    clip: float
    factor: float
    lost: float = math.nan  # nats
    low: float = math.nan  # of a t interval over seeds; nan for fewer than 3
    high: float = math.nan
    covered: float = 0.0  # share of [best / factor, best x factor] that was tried: the mean's range
    best: float = math.nan  # lr; nan if none ends below the ceiling
    edge: Literal["", "lowest", "highest", "only"] = ""  # place of the best lr among those tried
    seeds: int = 0  # with a loss at every lr; others are left out
    each: tuple[tuple[int, float], ...] = ()  # seed and its loss lost; their mean is `lost`
    capped: int = 0  # losses capped at the ceiling, over the lrs that the mean covers
    caveat: str = ""


def sensitivity(
    rows: pd.DataFrame, *, ceiling: float | None = None, factors: Sequence[float] = (2.0, 3.0, 10.0)
) -> tuple[Sensitivity, ...]:
    """Estimate what a wrong lr costs, for each batch, clip and factor.

    The cost is the loss minus the best loss, averaged over [best / factor, best x factor] on the
    log axis, by linear interpolation between the means of cells and only inside the grid; similar
    to Wortsman et al. (arXiv:2309.14322). The best lr of a seed is that of the mean over the other
    seeds, so noise does not bias the best loss down. Lines are above a bowl, so costs are slightly
    too large. Losses above the ceiling, and runs that diverged, count as the ceiling.

    Args:
        rows: columns `batch`, `lr`, `clip`, `seed`, `status`, `val_loss` in nats, and for the
            ceiling `uniform_loss`, of runs that differ in nothing else.
        ceiling: nats, such as the unigram loss; None for the uniform loss.
        factors: by which lr is off, above 1.

    Raises:
        ValueError: for an absent column, several settings at once, a factor that is not above 1, or
            a run that diverged without a ceiling.
    """
    need(rows, "batch", "lr", "clip", "seed", "status", "val_loss")
    alike(rows, "model", "data", "optimizer", "protocol")
    if min(factors) <= 1:
        raise ValueError(f"factors={tuple(factors)} must be greater than 1")
    table = rows[rows["status"] != "corrupt"].fillna({"clip": math.inf})
    if ceiling is None:  # one data set, one uniform loss; rows that diverged may lack theirs
        ceiling = float(table["uniform_loss"].max()) if "uniform_loss" in table else math.nan
    diverged = table["status"] == "diverged"
    if math.isnan(ceiling) and diverged.any():
        raise ValueError("ceiling=None without uniform_loss: set the loss divergence counts as")
    losses = table["val_loss"].where(table["status"] == "done").mask(diverged, math.inf)
    capped = losses > ceiling
    table = table.assign(loss=losses.mask(capped, ceiling), capped=capped)
    blocks: Any = table.groupby(["batch", "clip"])
    return tuple(
        _lost(block, int(batch), float(clip), float(factor))
        for (batch, clip), block in blocks
        for factor in factors
    )


def _lost(block: pd.DataFrame, batch: int, clip: float, factor: float) -> Sensitivity:
    """The cost at one batch and clip."""
    losses = block.groupby(["seed", "lr"])["loss"].mean().unstack()
    lrs, whole = losses.columns.to_numpy(float), losses.dropna()
    x, y = np.log(lrs), whole.to_numpy(float)
    few = f"{counted(len(y), 'seed')} with a loss at every lr; an interval needs {FEWEST}"
    if not len(y):
        return Sensitivity(batch, clip, factor, caveat=few)
    best, reach = int(y.mean(axis=0).argmin()), math.log(factor)
    if block.loc[block["lr"] == lrs[best], "capped"].all():
        why, many = "no lr ends below the ceiling", int(block["capped"].sum())
        return Sensitivity(batch, clip, factor, seeds=len(y), capped=many, caveat=why)
    edge: Any = ""
    if best in (0, len(x) - 1):
        edge = "highest" if best else "lowest" if len(x) > 1 else "only"
    ends = np.clip([x[best] - reach, x[best] + reach], x[0], x[-1])
    first, last = np.searchsorted(x, ends[0], "right") - 1, np.searchsorted(x, ends[1])
    capped = int(block.loc[block["lr"].between(lrs[first], lrs[last]), "capped"].sum())
    lost, each = UNKNOWN, np.array([])
    if len(x) > 1:
        others = (y.sum(axis=0) - y) / (len(y) - 1) if len(y) > 1 else y
        each = np.array([_loss_lost(x, *of_seed, reach) for of_seed in zip(y, others, strict=True)])
        lost = t_interval(each)
    caveats = {
        f"{counted(capped, 'loss counts', 'losses count')} as the ceiling": capped,
        few: len(y) < FEWEST,
        f"the best lr is the {edge} one": edge,
    }
    return Sensitivity(
        batch, clip, factor, lost.value, lost.low, lost.high,
        covered=min(1.0, float(np.ptp(ends) / (2 * reach))), best=float(lrs[best]), edge=edge,
        seeds=len(y), each=tuple(zip(map(int, whole.index), each.tolist(), strict=False)),
        capped=capped, caveat="; ".join(caveat for caveat, true in caveats.items() if true),
    )  # fmt: skip


def _loss_lost(x: Array, y: Array, others: Array, reach: float) -> float:
    """The loss that a seed loses around the lr with the lowest mean loss over the other seeds.

    The seed's own best lr would look too good, and more so with larger noise.
    """
    best = int(others.argmin())
    ends = np.clip([x[best] - reach, x[best] + reach], x[0], x[-1])
    at = np.unique([*ends, *x[(x > ends[0]) & (x < ends[1])]])
    mean = integrate.trapezoid(np.interp(at, x, y), at) / np.ptp(ends)
    return float(mean - y[best])
