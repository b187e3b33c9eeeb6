"""A bowl in log lr whose minimum moves with log batch, fitted to all losses of a sweep at once.

The loss of batch i, learning rate j and seed s is

    L_ijs = A_i + D_s + K B_i^c g(z) + noise,    z = ln lr_j - a - b ln B_i - U_s,

with ln B centred, sum D = sum U = 0, and g the LINEX loss (Varian, 1975; Zellner, 1986),
g(z) = 2 (exp(kz) - 1 - kz) / k^2: z^2 at skew k = 0, never below 0, its only minimum at 0, steeper
on the right for k > 0. A, D and K enter linearly and are solved for inside (variable projection).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Solver = Callable[[Vector], tuple[Vector, Vector]]  # theta -> linear parameters, residuals

SLOPES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # where searches begin
BOUNDS = {"slope": 3.0, "curvature": 1.5, "skew": 1.5, "shift": 2.5}


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
        """Log batch of each loss, less the mean over batch sizes."""
        logs = np.log(self.batches)
        return (logs - logs.mean())[self.batch]

    @property
    def grid(self) -> Vector:
        """The learning rates that were tried, in natural logs."""
        return np.unique(self.x)

    def where(self, kept: NDArray[np.bool_]) -> "Losses":
        """Some of the losses; batch sizes and seeds keep their numbers."""
        parts = {key: getattr(self, key)[kept] for key in ("x", "y", "batch", "seed")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Surface:
    """A fitted surface; vectors run over losses, weighted by the root of their precision."""

    losses: Losses
    centre: float  # a: log lr of the optimum at the mean log batch
    slope: float  # b
    curvature: float  # c: how K changes with log batch
    skew: float  # k
    shifts: Vector  # U of every seed but the first
    height: float  # K; a bowl if positive
    weights: Vector
    residuals: Vector  # weighted

    @property
    def optima(self) -> Vector:
        """Log lr of each batch size's optimum, over seeds."""
        logs = np.log(self.losses.batches)
        return self.centre + self.slope * (logs - logs.mean())

    @property
    def freedom(self) -> int:
        """Losses less parameters."""
        own = len(self.losses.batches) + len(self.losses.seeds) - 1 + 1
        return len(self.losses.y) - own - 4 - len(self.shifts)

    def distances(self) -> Vector:
        """How far each loss lies to the right of its optimum, z, in natural logs."""
        return _distances(self.losses, self._theta)

    def jacobian(self) -> Matrix:
        """Weighted derivatives by centre, slope, curvature, skew, shifts, then A, D and K."""
        theta = self._theta
        moved = []
        for i in range(len(theta)):
            step = np.zeros_like(theta)
            step[i] = 1e-5 * max(1.0, abs(theta[i]))
            up, down = _bowl(self.losses, theta + step), _bowl(self.losses, theta - step)
            moved.append(self.height * (up - down) / (2 * step[i]))
        columns = [*moved, *_offsets(self.losses).T, _bowl(self.losses, theta)]
        return np.column_stack(columns) * self.weights[:, None]

    @property
    def _theta(self) -> Vector:
        return np.array([self.centre, self.slope, self.curvature, self.skew, *self.shifts])


def fit(losses: Losses) -> Surface:
    """The surface of least squares, weighted where noise grows to the right of the optimum."""
    surface = _fitted(losses, np.ones_like(losses.y), None)
    weights = _weights(surface)
    if np.ptp(weights) > 0:
        surface = _fitted(losses, weights, surface)
    return surface


def linex(z: Vector, skew: float) -> Vector:
    """The LINEX bowl, z^2 at skew 0."""
    if abs(skew) < 1e-4:
        return z**2 * (1 + skew * z / 3)
    bent = np.clip(skew * z, -30, 30)
    return 2 * (np.expm1(bent) - bent) / skew**2


def jackknife(surface: Surface) -> tuple[float, int]:
    """Standard error of the slope, robust to whatever the losses of one batch and seed share.

    The linearised fit is repeated without each curve (a batch size and a seed), as in CR3 of
    MacKinnon, Nielsen and Webb (arXiv:2205.03285, sec. 3): it covers noise of unequal size, and
    optima that move from seed to seed.

    Returns:
        the standard error, and the number of curves.
    """
    design, residuals = surface.jacobian(), surface.residuals
    information = design.T @ design
    ridge = 1e-10 * np.trace(information) / len(information) * np.eye(len(information))
    curves = surface.losses.batch * len(surface.losses.seeds) + surface.losses.seed
    changes = []
    for curve in np.unique(curves):
        own = curves == curve
        rest = information - design[own].T @ design[own] + ridge
        changes.append(np.linalg.solve(rest, design[own].T @ residuals[own])[1])
    number = len(changes)
    return float(np.sqrt((number - 1) / number * np.square(changes).sum())), number


def arms(surface: Surface) -> tuple[float, float]:
    """How surely the loss rises to the left of the optimum, and to the right: two t values.

    Each side of the bowl gets a height of its own, with errors clustered by curve; 0 for a side
    on which there is no loss.
    """
    losses, z = surface.losses, surface.distances()
    bowl = _bowl(losses, surface._theta)
    sides = [bowl * (z < 0), bowl * (z >= 0)]
    moves = surface.jacobian()[:, :2] / surface.weights[:, None]
    design = np.column_stack([*sides, _offsets(losses), moves]) * surface.weights[:, None]
    inverse = np.linalg.pinv(design.T @ design)
    target = losses.y * surface.weights
    heights = inverse @ (design.T @ target)
    residuals = target - design @ heights
    curves = losses.batch * len(losses.seeds) + losses.seed
    scores = np.array([design[curves == c].T @ residuals[curves == c] for c in np.unique(curves)])
    variance = inverse @ scores.T @ scores @ inverse * len(scores) / max(1, len(scores) - 2)
    errors = np.sqrt(np.clip(np.diag(variance)[:2], 0, None))
    left, right = (
        float(height / error) if error > 0 and side.any() else 0.0
        for height, error, side in zip(heights, errors, sides, strict=False)
    )
    return left, right


def lack_of_fit(surface: Surface) -> float:
    """The p-value that cells (batch and lr) scatter about the surface as seeds do about cells.

    An F test; 1 where there are too few cells or seeds for one.
    """
    losses, residuals = surface.losses, surface.residuals
    cells = losses.batch * 10_000 + np.searchsorted(losses.grid, losses.x)
    _, cell, count = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.bincount(cell, residuals) / count
    between = float((count * means**2).sum())
    within = float(residuals @ residuals) - between
    lacking = len(count) - len(losses.batches) - 5
    pure = len(residuals) - len(count) - 2 * (len(losses.seeds) - 1)
    if lacking <= 0 or pure <= 0 or within <= 0:
        return 1.0
    return float(stats.f.sf(between / lacking / (within / pure), lacking, pure))


def _fitted(losses: Losses, weights: Vector, start: Surface | None) -> Surface:
    low, high = losses.grid[0], losses.grid[-1]
    shifts = len(losses.seeds) - 1
    bounds = [BOUNDS["slope"], BOUNDS["curvature"], BOUNDS["skew"], *[BOUNDS["shift"]] * shifts]
    lower = np.array([low - (high - low), *(-bound for bound in bounds)])
    upper = np.array([high + (high - low), *bounds])
    offsets = _offsets(losses)

    def solved(theta: Vector) -> tuple[Vector, Vector]:
        design = np.column_stack([offsets, _bowl(losses, theta)]) * weights[:, None]
        target = losses.y * weights
        solution: Vector = np.linalg.lstsq(design, target, rcond=None)[0]
        return solution, target - design @ solution

    theta = _start(losses, solved) if start is None else start._theta
    found = optimize.least_squares(
        lambda theta: solved(theta)[1],
        np.clip(theta, lower + 1e-6, upper - 1e-6),
        bounds=(lower, upper), x_scale="jac", max_nfev=60,
    ).x  # fmt: skip
    solution, residuals = solved(found)
    centre, slope, curvature, skew = found[:4]
    return Surface(
        losses, centre, slope, curvature, skew, found[4:], float(solution[-1]), weights, residuals
    )


def _start(losses: Losses, solved: Solver) -> Vector:
    """The best bowl of a coarse grid of centres and slopes."""
    best, start = np.inf, np.zeros(3 + len(losses.seeds))
    for centre in np.linspace(losses.grid[0], losses.grid[-1], 9):
        for slope in SLOPES:
            theta = np.zeros(3 + len(losses.seeds))
            theta[:2] = centre, slope
            solution, residuals = solved(theta)
            if solution[-1] > 0 and residuals @ residuals < best:
                best, start = residuals @ residuals, theta
    return start


def _distances(losses: Losses, theta: Vector) -> Vector:
    centre, slope, shifts = theta[0], theta[1], theta[4:]
    moved = np.append(-shifts.sum(), shifts)[losses.seed]
    return losses.x - centre - slope * losses.centred - moved


def _bowl(losses: Losses, theta: Vector) -> Vector:
    return np.exp(theta[2] * losses.centred) * linex(_distances(losses, theta), theta[3])


def _offsets(losses: Losses) -> Matrix:
    """Columns of A, and of D for every seed but the first."""
    seeds = np.eye(len(losses.seeds))[losses.seed]
    return np.column_stack([np.eye(len(losses.batches))[losses.batch], seeds[:, 1:] - seeds[:, :1]])


def _weights(surface: Surface) -> Vector:
    """Roots of precision, where noise grows to the right of the optimum; else all 1.

    The log of the squared residuals is fitted by a line in z, where z is positive.
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
