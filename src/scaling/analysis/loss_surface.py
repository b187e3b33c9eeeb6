"""Bowls in log lr of one shape, with an optimum for each batch size, fitted to all losses at once.

The loss of batch size i, learning rate j and seed s is

    L_ijs = A_i + D_s + K B_i^c g(z) + noise,    z = ln lr_j - m_i - U_s,

with sum D = sum U = 0 and g the LINEX loss (Varian, 1975; Zellner, 1986),
g(z) = 2 (exp(kz) - 1 - kz) / k^2: z^2 at skew k = 0, never below 0, its only minimum at 0, steeper
on the right for k > 0. Each batch size has its own optimum m. A, D and K are linear and are solved
for inside the search (variable projection).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.analysis.least_squares import least_squares
from scaling.analysis.linex import SKEW, linex, linex_by_skew

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

SHIFT = 2.5  # bound of U, in natural log lr


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

    @cached_property
    def centred(self) -> Vector:
        """Log of each batch size minus their mean."""
        logs: Vector = np.log(self.batches)
        return logs - logs.mean()

    @cached_property
    def by_batch(self) -> Matrix:
        """A column for each batch size: 1 at its losses, else 0."""
        return np.eye(len(self.batches))[self.batch]

    @cached_property
    def by_seed(self) -> Matrix:
        """A column for every seed except the first, whose effect is minus the sum of theirs."""
        seeds = np.eye(len(self.seeds))[self.seed]
        return np.asarray(seeds[:, 1:] - seeds[:, :1])

    @cached_property
    def offsets(self) -> Matrix:
        """Columns of A, and of D for every seed except the first."""
        return np.column_stack([self.by_batch, self.by_seed])

    @cached_property
    def curve(self) -> NDArray[np.int64]:
        """Index of each loss's batch size and seed."""
        return self.batch * len(self.seeds) + self.seed

    @cached_property
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
    theta: Vector  # an optimum for each batch size, then c, k and U of every seed except the first
    linear: Vector  # A, then D of every seed except the first, then K
    weights: Vector
    residuals: Vector  # weighted
    prior: Vector  # weights of c and k, which enter as residuals
    growth: float = 0.0  # of the log of the noise's variance, per unit of z > 0

    @property
    def optima(self) -> Vector:
        """Log lr of each batch size's optimum, over seeds."""
        return self.theta[: len(self.losses.batches)]

    @property
    def curvature(self) -> float:
        """Slope of the log of the bowl's height against log batch, c."""
        return float(self.theta[len(self.losses.batches)])

    @property
    def skew(self) -> float:
        """Skew of the bowl, k; its right side is steeper if positive."""
        return float(self.theta[len(self.losses.batches) + 1])

    @property
    def shifts(self) -> Vector:
        """Shift of the optima of each seed to the right, U."""
        others = self.theta[len(self.losses.batches) + 2 :]
        return np.append(-others.sum(), others)

    @property
    def height(self) -> float:
        """The bowl's height, K; a bowl if positive."""
        return float(self.linear[-1])

    @property
    def freedom(self) -> int:
        """Losses less parameters."""
        return len(self.losses.y) - len(self.theta) - len(self.linear)

    @property
    def noise(self) -> float:
        """Standard deviation of a weighted residual."""
        return float(np.sqrt(self.residuals @ self.residuals / max(1, self.freedom)))

    def distances(self) -> Vector:
        """Distance of each loss to the right of its optimum, z, in natural logs."""
        return _distances(self.losses, self.theta)

    def bowl(self) -> Vector:
        """The bowl of height 1 at each loss."""
        return _bowl(self.losses, self.theta)

    def predicted(self, losses: Losses) -> Vector:
        """The surface at some losses."""
        columns = [losses.offsets, _bowl(losses, self.theta)]
        surface: Vector = np.column_stack(columns) @ self.linear
        return surface

    def derivatives(self, losses: Losses) -> Matrix:
        """Derivatives of the surface at some losses, by theta, then by A, D and K."""
        moved = self.height * _derivatives(losses, self.theta)
        return np.column_stack([moved, losses.offsets, _bowl(losses, self.theta)])

    def information(self) -> tuple[Matrix, Matrix]:
        """Weighted derivatives by all parameters, and their cross product with the prior added."""
        design = self.derivatives(self.losses) * self.weights[:, None]
        information, count = design.T @ design, len(self.losses.batches)
        information[[count, count + 1], [count, count + 1]] += self.prior**2
        return design, information


def fit(
    losses: Losses,
    start: Vector,
    prior: Vector,
    ends: tuple[Vector, Vector] | None = None,
    growth: float = 0.0,
) -> Surface:
    """Fit a surface by least squares.

    Args:
        losses: of all batch sizes.
        start: theta of another surface of these batch sizes, or their optima to begin with.
        prior: weights with which c and k enter as residuals.
        ends: bounds of the optima; a grid beyond the grid on each side if not given.
        growth: of the noise to the right of the optima (`noise_growth`).
    """
    theta = np.zeros(len(losses.batches) + 1 + len(losses.seeds))
    theta[: len(start)] = start
    return _fitted(losses, theta, growth, prior, ends)


def refine(surface: Surface) -> Surface:
    """Weight losses by noise that grows to the right of the optimum, and shrink c and k towards 0.

    The less the losses determine c and k, the more they are shrunk. This halves the interval of a
    grid that cuts off the optima of its large batch sizes.
    """
    growth = noise_growth(surface)
    weighted = _fitted(surface.losses, surface.theta, growth, surface.prior)
    return _fitted(surface.losses, weighted.theta, growth, _prior(weighted))


def _fitted(
    losses: Losses,
    start: Vector,
    growth: float,
    prior: Vector,
    ends: tuple[Vector, Vector] | None = None,
) -> Surface:
    weights = roots_of_precision(_distances(losses, start), growth)
    offsets, count, shifts = losses.offsets, len(losses.batches), len(losses.seeds) - 1

    target = losses.y * weights
    last: dict[bytes, tuple[Vector, Vector, Matrix]] = {}

    def solved(theta: Vector) -> tuple[Vector, Vector, Matrix]:
        """A, D and K, the residuals, and an orthonormal basis of their columns."""
        key = theta.tobytes()
        if key not in last:  # `errors` and `slopes` ask for the same theta
            last.clear()
            columns = np.column_stack([offsets, _bowl(losses, theta)])
            last[key] = least_squares(columns * weights[:, None], target)
        return last[key]

    def errors(theta: Vector) -> Vector:
        return np.append(solved(theta)[1], prior * theta[count : count + 2])

    def slopes(theta: Vector) -> Matrix:
        """Derivatives of `errors` (Kaufman, BIT 15, 1975, for variable projection)."""
        solution, _, basis = solved(theta)
        moved = -solution[-1] * weights[:, None] * _derivatives(losses, theta)
        shrinks = np.zeros((2, len(theta)))
        shrinks[[0, 1], [count, count + 1]] = prior
        return np.vstack([moved - basis @ (basis.T @ moved), shrinks])

    low, high = losses.grid[0], losses.grid[-1]
    lows, highs = ends or (np.full(count, 2 * low - high), np.full(count, 2 * high - low))
    reach = [SKEW] * 2 + [SHIFT] * shifts
    lower = np.array([*lows, *(-bound for bound in reach)])
    upper = np.array([*highs, *reach])
    begin = np.clip(start, lower + 1e-6, upper - 1e-6)
    theta = optimize.least_squares(
        errors, begin, slopes, bounds=(lower, upper), x_scale="jac", max_nfev=60
    ).x
    solution, residuals, _ = solved(theta)
    return Surface(losses, theta, solution, weights, residuals, prior, growth)


def _distances(losses: Losses, theta: Vector) -> Vector:
    count = len(losses.batches)
    shifts = theta[count + 2 :]
    return losses.x - theta[:count][losses.batch] - np.append(-shifts.sum(), shifts)[losses.seed]


def _bowl(losses: Losses, theta: Vector) -> Vector:
    curvature, skew = theta[len(losses.batches) :][:2]
    heights = np.exp(curvature * losses.centred)[losses.batch]
    return heights * linex(_distances(losses, theta), float(skew))


def _derivatives(losses: Losses, theta: Vector) -> Matrix:
    """Derivatives of the bowl of height 1 by theta."""
    count, z = len(losses.batches), _distances(losses, theta)
    curvature, skew = theta[count : count + 2]
    heights = np.exp(curvature * losses.centred)[losses.batch]
    bent = np.clip(skew * z, -30, 30)
    slope = 2 * z * np.where(np.abs(bent) < 1e-8, 1.0, np.expm1(bent) / np.where(bent, bent, 1.0))
    moves = -(heights * slope)[:, None]
    return np.column_stack([
        moves * losses.by_batch,
        losses.centred[losses.batch] * heights * linex(z, float(skew)),
        heights * linex_by_skew(z, float(skew)),
        moves * losses.by_seed,
    ])  # fmt: skip


def noise_growth(surface: Surface) -> float:
    """Growth of the log of the noise's variance per unit of z > 0; 0 unless it clearly grows.

    The slope of a line through the logs of the squared residuals.
    """
    right = np.clip(surface.distances(), 0, None)
    if surface.height <= 0 or (right > 0).sum() < 5:
        return 0.0
    squared = (surface.residuals / surface.weights) ** 2
    line = stats.linregress(right, np.log(squared + 1e-3 * squared.mean()))
    return float(line.slope) if line.slope >= 2 * line.stderr else 0.0


def roots_of_precision(z: Vector, growth: float) -> Vector:
    """Weights of losses at a distance z to the right of their optimum; 1 to its left."""
    return np.exp(-0.5 * growth * np.clip(z, 0, None))


def _prior(surface: Surface) -> Vector:
    """Weights with which curvature and skew enter as residuals: empirical Bayes about 0.

    The variance of the prior is the estimate's square minus its error variance, but at least the
    error variance, so an estimate is at most halved.
    """
    count = len(surface.losses.batches)
    design, _ = surface.information()
    errors = surface.noise**2 * np.diag(np.linalg.pinv(design.T @ design))[count : count + 2]
    shape = surface.theta[count : count + 2]
    return surface.noise / np.sqrt(np.maximum(np.maximum(shape**2 - errors, errors), 1e-12))
