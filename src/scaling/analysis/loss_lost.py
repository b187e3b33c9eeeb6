"""The cost of a learning rate: its loss less the lowest loss of its curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.interpolate import PchipInterpolator

from scaling.analysis.intervals import LEVEL
from scaling.analysis.loss_surface import Vector

NEAR = 0.06  # nats above the best run, up to which runs next to it are fitted by a cubic
FEWEST = 5  # runs that are fitted in any case


class Minimum(NamedTuple):
    """The minimum of a cubic in log lr through the runs near the best one."""

    place: float
    error: float  # its standard error, over the standard deviation of a loss
    squares: float  # of the residuals
    freedom: int
    loss: np.poly1d
    ends: tuple[float, float]  # of the runs


@dataclass(frozen=True)
class CurveLosses:
    """Losses of one batch size, sorted by log lr, one for each learning rate."""

    x: Vector  # natural log of the learning rate
    losses: Vector

    def through_runs(self, x: float) -> float:
        """Loss lost at `x`, on the curve through all runs (PCHIP, which has no new minima).

        The lowest run is low partly by chance, so even the true best lr has a positive loss lost.
        An `x` outside the grid is moved to the nearest end.
        """
        curve = PchipInterpolator(self.x, self.losses)
        lowest = float(curve(np.linspace(self.x[0], self.x[-1], 2001)).min())
        return float(curve(np.clip(x, self.x[0], self.x[-1]))) - lowest

    def minimum(self) -> "Minimum | None":
        """Minimum of a cubic through the runs near the best one; None if it has none in them."""
        return self._cubic

    def on_cubic(self, x: float) -> float:
        """Loss lost at `x` on that cubic; beyond its runs, `through_runs`; nan without a cubic."""
        if not (cubic := self._cubic):
            return math.nan
        if not cubic.ends[0] <= x <= cubic.ends[1]:
            return self.through_runs(x)
        return float(cubic.loss(x) - cubic.loss(cubic.place))

    @cached_property
    def _cubic(self) -> "Minimum | None":
        best, low = int(self.losses.argmin()), self.losses.min() + NEAR
        first = last = best
        while first > 0 and self.losses[first - 1] <= low:
            first -= 1
        while last < len(self.x) - 1 and self.losses[last + 1] <= low:
            last += 1
        while last - first + 1 < min(FEWEST, len(self.x)):
            below = self.losses[first - 1] if first > 0 else math.inf
            above = self.losses[last + 1] if last < len(self.x) - 1 else math.inf
            first, last = (first - 1, last) if below < above else (first, last + 1)
        near = slice(first, last + 1)
        x, losses, middle = self.x[near], self.losses[near], float(self.x[near].mean())
        if len(x) < FEWEST:
            return None
        powers = np.vander(x - middle, 4)
        inverse = np.linalg.inv(powers.T @ powers)
        solution = inverse @ (powers.T @ losses)
        shifted = np.poly1d(solution)
        for root in shifted.deriv().roots:
            curvature = float(shifted.deriv(2)(root.real))
            if np.isreal(root) and curvature > 0 and x[0] < root.real + middle < x[-1]:
                residuals = losses - powers @ solution
                slope = np.array([3 * root.real**2, 2 * root.real, 1.0, 0.0])
                return Minimum(
                    float(root.real) + middle,
                    math.sqrt(slope @ inverse @ slope) / curvature,
                    float(residuals @ residuals),
                    len(x) - 4,
                    np.poly1d(solution)(np.poly1d([1.0, -middle])),
                    (float(x[0]), float(x[-1])),
                )
        return None


def pooled_errors(minima: Sequence[Minimum | None]) -> list[float]:
    """Half widths of the 95 % intervals of minima; nan for None.

    The curves are of one grid: the residuals of five runs about a cubic have one degree of freedom,
    so the variance of a loss is pooled over its curves.
    """
    known = [minimum for minimum in minima if minimum]
    freedom = sum(minimum.freedom for minimum in known)
    if not freedom:
        return [math.nan] * len(minima)
    variance = sum(minimum.squares for minimum in known) / freedom
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    return [reach * minimum.error if minimum else math.nan for minimum in minima]
