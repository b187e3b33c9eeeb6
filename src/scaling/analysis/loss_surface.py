"""A bowl in log lr whose minimum moves with the batch size, fitted to all losses at once.

The loss of batch size i, learning rate j and seed s is

    L_ijs = A_i + D_s + K B_i^c g(z) + noise,    z = ln lr_j - m_i - U_s,

with sum D = sum U = 0 and g the LINEX loss (Varian, 1975; Zellner, 1986),
g(z) = 2 (exp(kz) - 1 - kz) / k^2: z^2 at skew k = 0, never below 0, its only minimum at 0, steeper
on the right for k > 0. The optima m follow a power law, m_i = a + b ln B_i with ln B centred, or
are free. A, D and K are linear and are solved for inside the search (variable projection).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.analysis.linex import SKEW, linex

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Solver = Callable[[Vector], tuple[Vector, Vector]]  # theta -> linear parameters, residuals

SLOPES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # starting points of the search
SLOPE, SHIFT = 3.0, 2.5  # bounds of the search, like SKEW


@dataclass(frozen=True)
class Losses:
    """Finite losses of a sweep, in the coordinates of the surface."""

    x: Vector  # natural log of the learning rate
    y: Vector  # loss, nats
    batch: NDArray[np.int64]  # index into `batches`
    seed: NDArray[np.int64]  # index into `seeds`
    batches: Vector
    seeds: Vector

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Losses":
        """The runs that ended with a finite loss."""
        done = rows[(rows["status"] == "done") & np.isfinite(rows["val_loss"])]
        batches, batch = np.unique(done["batch"].to_numpy(float), return_inverse=True)
        seeds, seed = np.unique(done["seed"].to_numpy(float), return_inverse=True)
        x, y = np.log(done["lr"].to_numpy(float)), done["val_loss"].to_numpy(float)
        return cls(x, y, batch, seed, batches, seeds)

    @property
    def centred(self) -> Vector:
        """Log of each batch size minus their mean."""
        logs: Vector = np.log(self.batches)
        return logs - logs.mean()

    @property
    def offsets(self) -> Matrix:
        """Columns of A, and of D for every seed but the first."""
        seeds = np.eye(len(self.seeds))[self.seed]
        batches = np.eye(len(self.batches))[self.batch]
        return np.column_stack([batches, seeds[:, 1:] - seeds[:, :1]])

    @property
    def curve(self) -> NDArray[np.int64]:
        """Index of each loss's batch size and seed."""
        return self.batch * len(self.seeds) + self.seed

    @property
    def grid(self) -> Vector:
        """The learning rates that were tried, in natural logs."""
        return np.unique(self.x)

    def where(self, kept: NDArray[np.bool_]) -> "Losses":
        """A subset of the losses; batch sizes and seeds keep their indices."""
        parts = {key: getattr(self, key)[kept] for key in ("x", "y", "batch", "seed")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Surface:
    """A fitted surface; vectors run over losses, weighted by the root of their precision."""

    losses: Losses
    law: Matrix  # optima are law @ parameters
    theta: Vector  # parameters of the law, then c, k and U of every seed but the first
    height: float  # K; a bowl if positive
    weights: Vector
    residuals: Vector  # weighted
    prior: Vector  # weights of c and k, which enter as residuals

    @property
    def parameters(self) -> Vector:
        """Those of the law: a and b, or an optimum for each batch size."""
        return self.theta[: self.law.shape[1]]

    @property
    def optima(self) -> Vector:
        """Log lr of each batch size's optimum, over seeds."""
        return self.law @ self.parameters

    @property
    def curvature(self) -> float:
        """How the bowl's height changes with log batch, c."""
        return float(self.theta[self.law.shape[1]])

    @property
    def skew(self) -> float:
        """How much steeper the bowl is on its right, k."""
        return float(self.theta[self.law.shape[1] + 1])

    @property
    def noise(self) -> float:
        """Standard deviation of a weighted residual."""
        freedom = len(self.losses.y) - len(self.theta) - self.losses.offsets.shape[1] - 1
        return float(np.sqrt(self.residuals @ self.residuals / max(1, freedom)))

    def distances(self) -> Vector:
        """Distance of each loss to the right of its optimum, z, in natural logs."""
        return _distances(self.losses, self.law, self.theta)

    def bowl(self) -> Vector:
        """The bowl of height 1 at each loss."""
        return _bowl(self.losses, self.law, self.theta)

    def jacobian(self) -> Matrix:
        """Weighted derivatives by theta, then by A, D and K."""
        moved = []
        for i in range(len(self.theta)):
            step = np.zeros_like(self.theta)
            step[i] = 1e-5 * max(1.0, abs(self.theta[i]))
            up = _bowl(self.losses, self.law, self.theta + step)
            down = _bowl(self.losses, self.law, self.theta - step)
            moved.append(self.height * (up - down) / (2 * step[i]))
        columns = [*moved, *self.losses.offsets.T, self.bowl()]
        return np.column_stack(columns) * self.weights[:, None]


def fit(losses: Losses) -> Surface:
    """Fit the surface of a power law by least squares.

    Losses are weighted if noise grows to the right of the optimum. Curvature and skew are shrunk to
    0 as far as the losses do not determine them, which halves the interval if the grid cuts off the
    optima of the large batch sizes.
    """
    law = np.column_stack([np.ones_like(losses.batches), losses.centred])
    surface = _fitted(losses, law, np.ones_like(losses.y), np.zeros(2), None)
    weights = _weights(surface)
    if np.ptp(weights) > 0:
        surface = _fitted(losses, law, weights, np.zeros(2), surface.theta)
    return _fitted(losses, law, weights, _prior(surface), surface.theta)


def free(surface: Surface) -> Surface:
    """Fit the same surface with a free optimum for each batch size."""
    start = np.concatenate([surface.optima, surface.theta[surface.law.shape[1] :]])
    law = np.eye(len(surface.losses.batches))
    return _fitted(surface.losses, law, surface.weights, surface.prior, start)


def _fitted(
    losses: Losses, law: Matrix, weights: Vector, prior: Vector, start: Vector | None
) -> Surface:
    offsets, count, shifts = losses.offsets, law.shape[1], len(losses.seeds) - 1

    def solved(theta: Vector) -> tuple[Vector, Vector]:
        design = np.column_stack([offsets, _bowl(losses, law, theta)]) * weights[:, None]
        target = losses.y * weights
        solution = np.asarray(np.linalg.lstsq(design, target, rcond=None)[0], np.float64)
        return solution, target - design @ solution

    low, high = losses.grid[0], losses.grid[-1]
    slopes = np.isclose(law.sum(axis=0), 0)  # the others are optima themselves
    reach = [SKEW] * 2 + [SHIFT] * shifts
    lower = np.array([*np.where(slopes, -SLOPE, 2 * low - high), *(-bound for bound in reach)])
    upper = np.array([*np.where(slopes, SLOPE, 2 * high - low), *reach])
    theta = _start(losses, law, solved) if start is None else start
    best = optimize.least_squares(
        lambda theta: np.append(solved(theta)[1], prior * theta[count : count + 2]),
        np.clip(theta, lower + 1e-6, upper - 1e-6),
        bounds=(lower, upper), x_scale="jac", max_nfev=60,
    ).x  # fmt: skip
    solution, residuals = solved(best)
    return Surface(losses, law, best, float(solution[-1]), weights, residuals, prior)


def _start(losses: Losses, law: Matrix, solved: Solver) -> Vector:
    """The best bowl of a coarse grid of centres and slopes."""
    best = math.inf
    start: Vector = np.zeros(3 + len(losses.seeds))
    for centre in np.linspace(losses.grid[0], losses.grid[-1], 9):
        for slope in SLOPES:
            theta = np.zeros(3 + len(losses.seeds))
            theta[:2] = centre, slope
            solution, residuals = solved(theta)
            if solution[-1] > 0 and residuals @ residuals < best:
                best, start = float(residuals @ residuals), theta
    return start


def _distances(losses: Losses, law: Matrix, theta: Vector) -> Vector:
    count = law.shape[1]
    shifts = theta[count + 2 :]
    moved = np.append(-shifts.sum(), shifts)[losses.seed]
    return losses.x - (law @ theta[:count])[losses.batch] - moved


def _bowl(losses: Losses, law: Matrix, theta: Vector) -> Vector:
    curvature, skew = theta[law.shape[1] : law.shape[1] + 2]
    heights = np.exp(curvature * losses.centred)[losses.batch]
    return heights * linex(_distances(losses, law, theta), float(skew))


def _weights(surface: Surface) -> Vector:
    """Roots of precision if noise grows to the right of the optimum; else all 1.

    A line in z, where z is positive, is fitted to the log of the squared residuals.
    """
    right = np.clip(surface.distances(), 0, None)
    equal = np.ones_like(right)
    if surface.height <= 0 or (right > 0).sum() < 5:
        return equal
    squared = surface.residuals**2
    growth = stats.linregress(right, np.log(squared + 1e-3 * squared.mean()))
    if growth.slope < 2 * growth.stderr:
        return equal
    return np.exp(-0.5 * growth.slope * right)


def _prior(surface: Surface) -> Vector:
    """Weights with which curvature and skew enter as residuals: empirical Bayes around 0.

    The prior's variance is the square of the estimate minus that of its error, and at least the
    latter, so that an estimate is shrunk by at most half.
    """
    design, count = surface.jacobian(), surface.law.shape[1]
    errors = surface.noise**2 * np.diag(np.linalg.pinv(design.T @ design))[count : count + 2]
    shape = surface.theta[count : count + 2]
    return surface.noise / np.sqrt(np.maximum(np.maximum(shape**2 - errors, errors), 1e-12))
