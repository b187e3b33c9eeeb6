"""The optimum of each batch size from the learning rates nearest to it, whatever its shape."""

import numpy as np

from scaling.analysis.loss_surface import Losses, Vector


def local_minima(losses: Losses, degree: int) -> Vector:
    """Log lr where a polynomial about the best learning rate is lowest; nan at its edge.

    A polynomial of degree d goes through the 2d - 1 learning rates nearest to the best one, seeds
    shifted to each other.

    Args:
        losses: of all batch sizes.
        degree: of the polynomial, 2 or 3. Their results differ if the losses are not a parabola.
    """
    curves = [losses.where(losses.batch == i) for i in range(len(losses.batches))]
    return np.array([_minimum(curve, degree) if len(curve.y) else np.nan for curve in curves])


def _minimum(losses: Losses, degree: int) -> float:
    grid = losses.grid
    best = int(np.argmin([losses.y[losses.x == x].mean() for x in grid]))
    near = grid[max(0, best - degree + 1) : best + degree]
    if len(near) <= degree:
        return np.nan
    some = losses.where(np.isin(losses.x, near))
    seeds = (some.seed[:, None] == np.unique(some.seed)[None, :]).astype(float)
    powers = np.vander(some.x - grid[best], degree + 1)[:, :-1]
    solution = np.linalg.lstsq(np.column_stack([seeds, powers]), some.y, rcond=None)[0]
    fine = np.linspace(near[0], near[-1], 801)
    lowest = int(np.polyval([*solution[-degree:], 0.0], fine - grid[best]).argmin())
    return float(fine[lowest]) if 0 < lowest < len(fine) - 1 else np.nan
