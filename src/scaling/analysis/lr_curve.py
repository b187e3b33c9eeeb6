"""The losses of one batch size and clip over the learning rate."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

NEAR = 5  # learning rates about the best one that noise is estimated from
FINEST = 1e-6  # nats: the precision of float32 losses, even if seeds agree better


class Bottom(NamedTuple):
    """The lowest point of a curve; nan if it has none."""

    place: float = math.nan  # log lr
    curvature: float = math.nan
    loss: float = math.nan
    skew: float = 0.0  # of a LINEX bowl; 0 is a parabola


@dataclass(frozen=True)
class Curve:
    """Learning rates of one batch size and clip at which no run diverged or was unstable."""

    runs: Array  # rows of lr, seed, loss
    bad: Array  # rows of log lr and highest loss (inf if diverged), of diverged or unstable lrs
    lr: Array
    y: Array  # mean loss, seed offsets removed
    spread: Array  # covariance of y over the variance of noise, except for what all y share
    squares: float  # of the residuals
    freedom: int
    seeds: int

    @classmethod
    def of(cls, runs: Array, bad: Array) -> "Curve":
        lr, cell = np.unique(runs[:, 0], return_inverse=True)
        seeds, seed = np.unique(runs[:, 1], return_inverse=True)
        cells, offsets = np.eye(len(lr))[cell], np.eye(len(seeds))[seed]
        design = np.column_stack([cells, offsets[:, 1:] - offsets[:, :1]])
        if len(lr) and np.linalg.matrix_rank(design) < design.shape[1]:
            design = cells  # each lr has seeds of its own: their offsets are part of the noise
        inverse = np.linalg.inv(design.T @ design)
        solution = inverse @ (design.T @ runs[:, 2])
        squares = float(np.square(runs[:, 2] - design @ solution).sum())
        y, spread = solution[: len(lr)], inverse[: len(lr), : len(lr)]
        return cls(runs, bad, lr, y, spread, squares, len(runs) - design.shape[1], len(seeds))

    @cached_property
    def x(self) -> Array:
        """Log lr."""
        return np.log(self.lr)

    @cached_property
    def best(self) -> int:
        return int(self.y.argmin())

    @cached_property
    def walls(self) -> tuple[float, float]:
        """Log lr of the nearest bad ones below and above; -inf and inf without any."""
        bad = self.bad[:, 0]
        below = bad[bad < self.x[0]].max(initial=-math.inf)
        above = bad[bad > self.x[-1]].min(initial=math.inf)
        return float(below), float(above)

    @cached_property
    def whitener(self) -> Array:
        """Matrix that whitens the noise of the losses and removes their mean."""
        centred = np.eye(len(self.x)) - 1 / len(self.x)
        sizes, directions = np.linalg.eigh(centred @ self.spread @ centred)
        return directions[:, 1:] / np.sqrt(sizes[1:])

    def near(self, count: int) -> "Curve":
        """The curve of up to `count` learning rates about the best."""
        first = max(0, min(self.best - count // 2, len(self.x) - count))
        return self._of(first, first + count)

    def about(self, half: int) -> "Curve":
        """The curve of up to `half` learning rates on each side of the best, and at least `NEAR`.

        Unlike `near`, it keeps all of these learning rates if the grid is extended.
        """
        first = max(0, min(self.best - half, len(self.x) - NEAR))
        return self._of(first, max(self.best + half + 1, first + NEAR))

    def _of(self, first: int, last: int) -> "Curve":
        near = np.isin(self.runs[:, 0], self.lr[first:last])
        return Curve.of(self.runs[near], self.bad)

    def roughness(self) -> float:
        """Squared residuals of a cubic; four degrees of freedom fewer than learning rates."""
        powers = self.whitener.T @ np.vander(self.x - self.x.mean(), 4)[:, :3]
        losses = self.y @ self.whitener
        return float(np.square(losses - powers @ np.linalg.pinv(powers) @ losses).sum())

    def bottom(self, degree: int) -> Bottom:
        """The minimum of a least-squares polynomial in log lr, if it lies within the curve."""
        middle = float(self.x.mean())
        if len(self.x) > degree:
            loss = np.poly1d(np.polyfit(self.x - middle, self.y, degree))
            for root in loss.deriv().roots:
                at, curvature = float(root.real), float(loss.deriv(2)(root.real))
                if np.isreal(root) and curvature > 0 and self.x[0] <= at + middle <= self.x[-1]:
                    return Bottom(at + middle, curvature, float(loss(at)))
        return Bottom()
