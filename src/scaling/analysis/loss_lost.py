"""What a learning rate costs: the loss at it less the lowest loss of its curve."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.analysis.loss_surface import Vector

NEAR = 0.06  # nats above the best run, up to which runs next to it are fitted by a cubic
FEWEST = 5  # runs that are fitted in any case


@dataclass(frozen=True)
class CurveLosses:
    """Losses of one batch size, sorted by log lr, one for each learning rate."""

    x: Vector  # natural log of the learning rate
    losses: Vector

    def through_runs(self, x: float) -> float:
        """Loss lost at `x`, on the curve through all runs (PCHIP, which has no new minima).

        The lowest run is lucky, so that even the best lr loses something. Outside the grid, `x` is
        taken as the end of it.
        """
        curve = PchipInterpolator(self.x, self.losses)
        lowest = float(curve(np.linspace(self.x[0], self.x[-1], 2001)).min())
        return float(curve(np.clip(x, self.x[0], self.x[-1]))) - lowest

    def minimum(self) -> tuple[float, float]:
        """Minimum of a cubic through the runs near the best one, and its standard error.

        Both are nan if the cubic has no minimum between these runs.
        """
        cubic = self._cubic()
        return (cubic[0], cubic[1]) if cubic else (math.nan, math.nan)

    def on_cubic(self, x: float) -> float:
        """Loss lost at `x` on that cubic; beyond its runs, `through_runs`; nan without a cubic."""
        if not (cubic := self._cubic()):
            return math.nan
        place, _, loss, (first, last) = cubic
        return float(loss(x) - loss(place)) if first <= x <= last else self.through_runs(x)

    def _cubic(self) -> tuple[float, float, np.poly1d, tuple[float, float]] | None:
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
                noise = float(residuals @ residuals) / max(1, len(x) - 4)
                slope = np.array([3 * root.real**2, 2 * root.real, 1.0, 0.0])
                error = math.sqrt(noise * slope @ inverse @ slope) / curvature
                loss = np.poly1d(solution)(np.poly1d([1.0, -middle]))
                return float(root.real) + middle, error, loss, (float(x[0]), float(x[-1]))
        return None
