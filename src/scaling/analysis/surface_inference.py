"""What a fitted loss surface tells: the covariance of its optima, and tests of its shape."""

import numpy as np
from scipy import stats

from scaling.analysis.loss_surface import Matrix, Surface


def jackknife(surface: Surface) -> Matrix:
    """Covariance of the law's parameters, robust to what losses of a batch size and seed share.

    The linearised fit is repeated without each curve (a batch size and a seed), as in CR3 of
    MacKinnon, Nielsen and Webb (arXiv:2205.03285, sec. 3): it covers noise of unequal size, and
    optima that move from seed to seed.
    """
    residuals, curve = surface.residuals, surface.losses.curve
    design, information = _information(surface)
    count = surface.law.shape[1]
    ridge = 1e-10 * np.trace(information) / len(information) * np.eye(len(information))
    changes = []
    for number in np.unique(curve):
        left = design[curve == number]
        rest = information - left.T @ left + ridge
        changes.append(np.linalg.solve(rest, left.T @ residuals[curve == number])[:count])
    moved = np.array(changes)
    return (len(moved) - 1) / len(moved) * moved.T @ moved


def side_t_values(surface: Surface) -> tuple[float, float]:
    """The t values of the rise of the loss to the left of the optimum and to the right.

    Each side of the bowl has a height of its own, with errors clustered by curve. A side without a
    loss has 0.
    """
    losses, z, bowl = surface.losses, surface.distances(), surface.bowl()
    sides = [bowl * (z < 0), bowl * (z >= 0)]
    moves = surface.jacobian()[:, : surface.law.shape[1]] / surface.weights[:, None]
    design = np.column_stack([*sides, losses.offsets, moves]) * surface.weights[:, None]
    inverse = np.linalg.pinv(design.T @ design)
    target = losses.y * surface.weights
    heights = inverse @ (design.T @ target)
    residuals = target - design @ heights
    curves = [losses.curve == number for number in np.unique(losses.curve)]
    scores = np.array([design[curve].T @ residuals[curve] for curve in curves])
    variance = inverse @ scores.T @ scores @ inverse * len(scores) / max(1, len(scores) - 2)
    errors = np.sqrt(np.clip(np.diag(variance)[:2], 0, None))
    left, right = (
        float(heights[i] / errors[i]) if errors[i] > 0 and sides[i].any() else 0.0 for i in (0, 1)
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
    lacking = len(count) - len(losses.batches) - surface.law.shape[1] - 3
    pure = len(residuals) - len(count) - 2 * (len(losses.seeds) - 1)
    if lacking <= 0 or pure <= 0 or within <= 0:
        return 1.0
    return float(stats.f.sf(between / lacking / (within / pure), lacking, pure))


def seeds_agree(surface: Surface) -> float:
    """The p-value that seeds share one optimum, by Wald's F test of their shifts U; 1 for one seed.

    An optimum that moves from seed to seed is covered by the interval all the same (`jackknife`).
    """
    first = surface.law.shape[1] + 2
    shifts = surface.theta[first:]
    if not len(shifts):
        return 1.0
    design, information = _information(surface)
    there = slice(first, first + len(shifts))
    covariance = surface.noise**2 * np.linalg.pinv(information)[there, there]
    # a surface with hardly a bowl leaves some shifts open: these carry no evidence
    wald = float(shifts @ np.linalg.pinv(covariance) @ shifts) / len(shifts)
    freedom = len(surface.losses.y) - design.shape[1]
    return float(stats.f.sf(wald, len(shifts), freedom)) if freedom > 0 else 1.0


def _information(surface: Surface) -> tuple[Matrix, Matrix]:
    """Weighted derivatives by all parameters, and their cross product with the prior added."""
    design, first = surface.jacobian(), surface.law.shape[1]
    information = design.T @ design
    information[[first, first + 1], [first, first + 1]] += surface.prior**2
    return design, information
