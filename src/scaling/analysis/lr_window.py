"""A window of runs about the optima of a sweep, which grows as far as one surface predicts them.

The window grows by one learning rate at a time, to both sides equally if possible. It stops when
the surface no longer predicts the added runs (Chow's prediction test, Econometrica 28, 1960) or the
errors of the optima grow. So runs far away never make these errors worse.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scaling.analysis import loss_surface
from scaling.analysis.loss_surface import Losses, Matrix, Surface, Vector

Mask = NDArray[np.bool_]

MISFIT = 0.01  # p-value below which a surface does not predict what is added
OUTLIER = 1e-3  # p-value of a run that is unstable
CURVATURE, SKEW = 0.4, 1.0  # what is expected of c and k: standard deviations about 0


@dataclass(frozen=True)
class Window:
    """Runs up to `left` and `right` of their optimum, in natural log lr, that are stable."""

    losses: Losses
    surface: Surface
    kept: Mask
    unstable: Mask
    left: float
    right: float
    ends: tuple[Vector, Vector]  # of the optima, in natural log lr

    @property
    def offset(self) -> Vector:
        """Distance of each run to the right of its optimum; one outside the grid is at its end."""
        grid = self.losses.grid
        return self.losses.x - self.surface.optima.clip(grid[0], grid[-1])[self.losses.batch]

    @property
    def inside(self) -> Mask:
        slack = 1e-6 * (self.left + self.right)
        return (self.offset >= -self.left - slack) & (self.offset <= self.right + slack)

    @property
    def error(self) -> float:
        """Log of the standard error of an optimum, the mean over batch sizes."""
        _, information = self.surface.information()
        count = len(self.losses.batches)
        variances = np.diag(np.linalg.pinv(information))[:count].clip(1e-300)
        return math.log(max(self.surface.noise, 1e-12)) + float(np.log(variances).mean()) / 2

    def fitted(self, kept: Mask) -> "Window":
        """The window with the surface of other runs."""
        near = self.losses.where(kept)
        growth = loss_surface.noise_growth(self.surface)
        surface = expected_surface(near, self.surface.theta, self.surface.noise, self.ends, growth)
        return replace(self, surface=surface, kept=kept)

    def surprise(self, runs: Mask) -> tuple[Vector, Matrix]:
        """The excess of some runs over the surface, and its covariance in noise variances."""
        others = self.losses.where(runs)
        excess = others.y - self.surface.predicted(others)
        there, (_, information) = self.surface.derivatives(others), self.surface.information()
        information += 1e-9 * np.trace(information) / len(information) * np.eye(len(information))
        offset = self.offset[runs]
        noise = loss_surface.roots_of_precision(offset, self.surface.growth) ** -2
        return excess, np.diag(noise) + there @ np.linalg.solve(information, there.T)


def expected_surface(
    losses: Losses,
    start: Vector,
    noise: float,
    ends: tuple[Vector, Vector] | None,
    growth: float = 0.0,
) -> Surface:
    """Fit a surface whose shape is expected to be near a parabola of one height."""
    expected = max(noise, 1e-9) / np.array([CURVATURE, SKEW])
    return loss_surface.fit(losses, start, expected, ends, growth)


def grown(window: Window, step: float) -> Window:
    """The widest window whose surface predicts what each step adds."""
    sides = [-1, 1]
    while sides := [side for side in sides if _outside(window, side).any()]:
        for some in ([-1, 1], [-1], [1]):
            if not set(some) <= set(sides):
                continue
            wider = window
            for side in some:
                wider = _wider(wider, side, step)
            added = wider.inside & ~wider.kept & ~wider.unstable
            if not added.any():
                window = wider
                break
            excess, covariance = window.surprise(added)
            if _predicted(window, excess, covariance):
                grown = wider.fitted(window.kept | added)
                if grown.error <= window.error:
                    window = grown
                    break
            if len(some) == 2:
                continue
            jumps = _outliers(window, excess, covariance)
            if some == [1] and jumps.any() and not jumps.all():
                unstable = window.unstable.copy()
                unstable[np.flatnonzero(added)[jumps]] = True
                window = replace(window, unstable=unstable)
                break
            sides = [side for side in sides if side != some[0]]
    return window


def _outside(window: Window, side: int) -> Mask:
    outside = ~window.inside & ~window.unstable & ~window.kept
    return outside & (np.sign(window.offset) == side)


def _wider(window: Window, side: int, step: float) -> Window:
    """A window wider by a step, or up to the next run."""
    key = "right" if side > 0 else "left"
    reach = getattr(window, key)
    nearest = float(np.abs(window.offset[_outside(window, side)]).min())
    return replace(window, **{key: max(reach + step, nearest)})


def _predicted(window: Window, excess: Vector, covariance: Matrix) -> bool:
    ratio = float(excess @ np.linalg.solve(covariance, excess)) / len(excess)
    noise = max(window.surface.noise, 1e-9)
    freedom = max(1, window.surface.freedom)
    return bool(stats.f.sf(ratio / noise**2, len(excess), freedom) > MISFIT)


def _outliers(window: Window, excess: Vector, covariance: Matrix) -> Mask:
    """Mask of the runs that lie above the surface, at an error rate of `OUTLIER` for all."""
    t = excess / np.sqrt(np.diag(covariance)) / max(window.surface.noise, 1e-9)
    outliers: Mask = t > stats.t.isf(OUTLIER / len(t), max(1, window.surface.freedom))
    return outliers


def readmitted(window: Window) -> Window:
    """The window, with excluded runs that the final surface predicts added again."""
    for _ in range(5):
        doubted = window.unstable & window.inside
        if not doubted.any():
            break
        outliers = _outliers(window, *window.surprise(doubted)) & (window.offset[doubted] > 0)
        if outliers.all():
            break
        back = np.zeros_like(doubted)
        back[np.flatnonzero(doubted)[~outliers]] = True
        window = replace(window, unstable=window.unstable & ~back).fitted(window.kept | back)
    return window
