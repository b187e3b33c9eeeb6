"""How the best learning rate moves with the batch size: LR_opt = C batch^beta."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis import loss_surface, surface_inference
from scaling.analysis.intervals import LEVEL
from scaling.contracts.columns import alike, need

SURE = 2.0  # t value of each side of the bowl, below which there is no optimum to speak of
MISFIT = 0.01  # p-value below which the surface is not believed


class Point(NamedTuple):
    """The best learning rate of a batch size, as the law has it, with its interval."""

    batch: float
    lr: float
    low: float  # nan where minima were found one by one
    high: float


@dataclass(frozen=True)
class Law:
    """A power law, or the reason why no law is reported.

    `low` and `high` are finite whenever it is identified, and nan otherwise. The exponent is then
    nan as well: a number that the data do not support is not given.
    """

    exponent: float
    low: float
    high: float
    identified: bool
    reason: str  # why not; empty if identified
    constant: float = math.nan  # C, so that LR_opt = C batch^exponent
    optima: tuple[Point, ...] = ()
    method: str = ""  # `surface`, or `local` where one surface does not fit all batch sizes
    seeds_agree: float = math.nan  # p-value that seeds share one optimum; of the surface

    def contains(self, exponent: float) -> bool | None:
        """Whether a hypothesis lies inside the interval; None where there is no interval."""
        return self.low <= exponent <= self.high if self.identified else None


@dataclass(frozen=True)
class PlainFit:
    """What a plain analysis says: least squares on the logs of the optima."""

    exponent: float
    error: float  # standard error
    low: float
    high: float
    r_squared: float  # nan if all optima are equal
    constant: float
    count: int


def learning_rate_law(rows: pd.DataFrame) -> Law:
    """Fit LR_opt = C batch^beta to all losses of a sweep at once.

    The model is one bowl-shaped surface in log lr, whose minimum moves with log batch
    (`scaling.analysis.loss_surface`); the interval is a t interval over curves, each of one batch
    size and seed. If the surface does not fit, the optimum of each batch size is found by itself,
    and the interval is that of a line through them. Runs that diverged are left out.

    Args:
        rows: columns `batch`, `lr`, `seed`, `val_loss` in nats and `status`, of runs that differ in
            nothing else; as `scaling.results.read` gives them.

    Returns:
        The law with a 95 % interval, or the reason why none is identified: it takes three batch
        sizes, four learning rates and three seeds.

    Raises:
        ValueError: for an absent column, or several clips, models, data sets, optimizers or
            protocols at once.
    """
    need(rows, "batch", "lr", "seed", "val_loss", "status")
    alike(rows, "clip", "model", "data", "optimizer", "protocol")
    losses = loss_surface.Losses.of(rows)
    if reason := _too_little(losses):
        return _unidentified(reason)
    surface = loss_surface.fit(losses)
    if reason := _no_bowl(surface):
        return _unidentified(reason)
    if surface_inference.lack_of_fit(surface) < MISFIT:
        return _local(losses)
    centre, slope = (float(parameter) for parameter in surface.parameters)
    freedom = len(np.unique(losses.curve)) - len(losses.seeds) - 1
    covariance = surface_inference.jackknife(surface)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    reach = quantile * math.sqrt(covariance[1, 1])
    bands = quantile * np.sqrt(np.diag(surface.law @ covariance @ surface.law.T))
    if not math.isfinite(reach):
        return _unidentified("the interval has no end")
    return Law(
        exponent=slope,
        low=slope - reach,
        high=slope + reach,
        identified=True,
        reason="",
        constant=math.exp(centre - slope * float(np.log(losses.batches).mean())),
        optima=tuple(
            Point(float(batch), math.exp(x), math.exp(x - band), math.exp(x + band))
            for batch, x, band in zip(losses.batches, surface.optima, bands, strict=True)
        ),
        method="surface",
        seeds_agree=surface_inference.seeds_agree(surface),
    )


def plain_fit(batch: np.ndarray, lr: np.ndarray) -> PlainFit:
    """Fit log lr on log batch by least squares, with a t interval for the exponent.

    This is the usual analysis of a few optima: it ignores how uncertain each of them is, and that
    some lie at an end of the grid.

    Args:
        batch: the batch size of each optimum.
        lr: the best learning rate of each.

    Raises:
        ValueError: for fewer than three optima, or a single batch size.
    """
    x, y = np.log(np.asarray(batch, float)), np.log(np.asarray(lr, float))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(
            f"optima: {len(x)}; a line with an interval needs three, at several batch sizes"
        )
    if np.ptp(y) == 0:  # least squares would give rounding errors
        return PlainFit(0.0, 0.0, 0.0, 0.0, math.nan, float(np.exp(y[0])), len(x))
    line = stats.linregress(x, y)
    reach = float(line.stderr * stats.t.ppf((1 + LEVEL) / 2, len(x) - 2))
    slope = float(line.slope)
    return PlainFit(
        exponent=slope, error=float(line.stderr), low=slope - reach, high=slope + reach,
        r_squared=float(line.rvalue**2), constant=float(np.exp(line.intercept)), count=len(x),
    )  # fmt: skip


def _too_little(losses: loss_surface.Losses) -> str:
    """Why no surface can be fitted, if none can."""
    if len(losses.batches) < 3:
        return f"batch sizes with a finite loss: {len(losses.batches)}; an interval needs 3"
    rates = [len(np.unique(losses.x[losses.batch == i])) for i in range(len(losses.batches))]
    if max(rates) < 4:
        return f"learning rates per batch size: {max(rates)}; a bowl needs 4, at three batch sizes"
    if (several := sum(rate >= 3 for rate in rates)) < 3:
        return f"batch sizes with three learning rates or more: {several}; an interval needs 3"
    if len(losses.seeds) < 3:
        return f"seeds: {len(losses.seeds)}; the noise is not known well enough, 3 would tell"
    if np.ptp(losses.y) < 1e-9:
        return "all losses are equal"
    if len(losses.y) <= len(losses.batches) + 2 * len(losses.seeds) + 4:
        return f"{len(losses.y)} losses are fewer than the surface has parameters"
    return ""


def _no_bowl(surface: loss_surface.Surface) -> str:
    """Why a surface has no optimum to follow, if it has none."""
    grid, optima = surface.losses.grid, surface.optima
    inside = int(((optima > grid[0]) & (optima < grid[-1])).sum())
    if surface.height <= 0 or abs(surface.parameters[1]) > 0.99 * loss_surface.SLOPE:
        return "the losses have no minimum that moves with the batch size as a power law's"
    left, right = surface_inference.side_t_values(surface)
    if min(left, right) < SURE:
        side = "below" if left < right else "above"
        return f"the loss does not surely rise {side} the optimum (t = {min(left, right):.1f})"
    if inside < 2:
        return f"optima inside the grid: {inside}; two would tell"
    return ""


def _local(losses: loss_surface.Losses) -> Law:
    """Lines through the minima of each batch size on its own, which assume less.

    Minima are those of a cubic through five learning rates and of a parabola through three, about
    the best. The two differ where neither has the shape of the bowl, so the interval covers both.
    """
    lines = []
    for degree in (3, 2):
        places = {}
        for i, batch in enumerate(losses.batches):
            optimum = _minimum(losses.where(losses.batch == i), degree)
            if optimum is not None:
                places[float(batch)] = math.exp(optimum)
        if len(places) < 3:
            return _unidentified(
                "one surface does not fit all batch sizes, and one by one they have a minimum "
                f"inside the grid at {len(places)} of {len(losses.batches)}; three would tell"
            )
        lines.append(plain_fit(np.array(list(places)), np.array(list(places.values()))))
    return Law(
        exponent=sum(line.exponent for line in lines) / 2,
        low=min(line.low for line in lines),
        high=max(line.high for line in lines),
        identified=True,
        reason="",
        constant=math.sqrt(lines[0].constant * lines[1].constant),
        optima=tuple(Point(batch, lr, math.nan, math.nan) for batch, lr in places.items()),
        method="local",
    )


def _minimum(losses: loss_surface.Losses, degree: int) -> float | None:
    """Log lr where a polynomial about the best learning rate is lowest; None at its edge.

    A polynomial of degree d goes through the 2d - 1 learning rates nearest to the best one, seeds
    shifted to each other.
    """
    grid = losses.grid
    best = int(np.argmin([losses.y[losses.x == x].mean() for x in grid]))
    near = grid[max(0, best - degree + 1) : best + degree]
    if len(near) <= degree:
        return None
    some = losses.where(np.isin(losses.x, near))
    seeds = (some.seed[:, None] == np.unique(some.seed)[None, :]).astype(float)
    powers = np.vander(some.x - grid[best], degree + 1)[:, :-1]
    solution = np.linalg.lstsq(np.column_stack([seeds, powers]), some.y, rcond=None)[0]
    fine = np.linspace(near[0], near[-1], 801)
    lowest = int(np.polyval([*solution[-degree:], 0.0], fine - grid[best]).argmin())
    return float(fine[lowest]) if 0 < lowest < len(fine) - 1 else None


def _unidentified(reason: str) -> Law:
    return Law(math.nan, math.nan, math.nan, identified=False, reason=reason)
