"""Inference from a fitted loss surface: the optimum of each curve, and tests of its shape."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.analysis.linex import linex
from scaling.analysis.loss_surface import Matrix, Surface, Vector
from scaling.analysis.lr_curve import FINEST


class CurveOptima(NamedTuple):
    """The optimum of each curve, which is a batch size and a seed, with the shape of all."""

    batch: NDArray[np.int64]  # index of the batch size
    seed: NDArray[np.int64]
    optima: Vector  # natural log of the lr
    covariance: Matrix  # of their errors, the uncertainty of the shared shape included


def curve_optima(surface: Surface) -> CurveOptima:
    """Estimate the optimum of each batch size and seed, by one Gauss-Newton step.

    Curves have the offset and the optimum of their own, and share the bowl's height, curvature and
    skew. Curves whose losses do not determine both are left out.
    """
    losses, count = surface.losses, len(surface.losses.batches)
    design, _ = surface.information()
    moves = design[:, :count][np.arange(len(losses.y)), losses.batch]  # by the curve's own optimum
    curves = [
        curve for curve in np.unique(losses.curve)
        if np.linalg.matrix_rank(_own(surface, moves, losses.curve == curve)) == 2
    ]  # fmt: skip
    member = (losses.curve[:, None] == np.array(curves)[None, :]).astype(float)
    shape = design[:, [count, count + 1, design.shape[1] - 1]]  # by c, k and K
    full = np.column_stack([member * moves[:, None], shape, member * surface.weights[:, None]])
    kept = member.any(axis=1)
    full, residuals = full[kept], surface.residuals[kept]
    information = full.T @ full
    prior = [len(curves), len(curves) + 1]
    information[prior, prior] += surface.prior**2
    inverse = np.linalg.pinv(information)
    score = full.T @ residuals
    score[prior] -= surface.prior**2 * surface.theta[count : count + 2]
    number = len(curves)
    batch, seed = np.divmod(np.array(curves), len(losses.seeds))
    optima = surface.optima[batch] + surface.shifts[seed] + (inverse @ score)[:number]
    return CurveOptima(batch, seed, optima, surface.noise**2 * inverse[:number, :number])


def _own(surface: Surface, moves: Vector, curve: NDArray[np.bool_]) -> Matrix:
    return np.column_stack([moves[curve] / np.abs(moves).max(), surface.weights[curve]])


def side_t_values(surface: Surface) -> tuple[float, float]:
    """The t values of the rise of the loss to the left of the optimum and to the right.

    Each side of the bowl has a height of its own, with errors clustered by curve. A side without a
    loss has 0.
    """
    losses, z, bowl = surface.losses, surface.distances(), surface.bowl()
    sides = [bowl * (z < 0), bowl * (z >= 0)]
    moves = surface.derivatives(losses)[:, : len(losses.batches)]
    design = np.column_stack([*sides, losses.offsets, moves]) * surface.weights[:, None]
    inverse = np.linalg.pinv(design.T @ design)
    target = losses.y * surface.weights
    heights = inverse @ (design.T @ target)
    residuals = target - design @ heights
    curves = [losses.curve == number for number in np.unique(losses.curve)]
    scores = np.array([design[curve].T @ residuals[curve] for curve in curves])
    variance = inverse @ scores.T @ scores @ inverse * len(scores) / max(1, len(scores) - 2)
    # clusters alone understate the error of a side that has one run or two in each curve
    variances = np.maximum(np.diag(variance), surface.noise**2 * np.diag(inverse))
    errors = np.sqrt(np.clip(variances[:2], 0, None))
    left, right = (
        float(heights[i] / errors[i]) if errors[i] > 0 and sides[i].any() else 0.0 for i in (0, 1)
    )
    return left, right


def rises(surface: Surface, reach: float) -> tuple[Vector, Vector]:
    """The rise of the loss of each batch size from its optimum to the higher side.

    Args:
        surface: a bowl.
        reach: distance from the optimum in natural log lr.

    Returns:
        The rises, and their standard errors by the delta method.
    """
    count, shape = len(surface.losses.batches), (surface.curvature, surface.skew, surface.height)

    def higher(curvature: float, skew: float, height: float) -> Vector:
        sides = linex(np.array([-reach, reach]), skew)
        return height * np.exp(curvature * surface.losses.centred) * sides.max()

    slopes = optimize.approx_fprime(np.array(shape), lambda x: higher(*x), 1e-6)
    _, information = surface.information()
    places = [count, count + 1, len(information) - 1]
    covariance = surface.noise**2 * np.linalg.pinv(information)[np.ix_(places, places)]
    return higher(*shape), np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes).clip(0))


def lack_of_fit(surface: Surface) -> float:
    """The p-value that cells (batch and lr) scatter about the surface only as seeds do about cells.

    An F test; 1 if there are too few cells or seeds for one.
    """
    losses, residuals = surface.losses, surface.residuals
    cells = losses.batch * 10_000 + np.searchsorted(losses.grid, losses.x)
    _, cell, count = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.bincount(cell, residuals) / count
    between = float((count * means**2).sum())
    within = float(residuals @ residuals) - between
    lacking = len(count) - 2 * len(losses.batches) - 3
    pure = len(residuals) - len(count) - 2 * (len(losses.seeds) - 1)
    if lacking <= 0 or pure <= 0 or within <= 0 or between < lacking * FINEST**2:
        return 1.0
    return float(stats.f.sf(between / lacking / (within / pure), lacking, pure))


def seeds_agree(surface: Surface) -> float:
    """The p-value that seeds share one optimum, by Wald's F test of their shifts U; 1 for one seed.

    The interval of the law holds even if the optimum moves from seed to seed.
    """
    first = len(surface.losses.batches) + 2
    shifts = surface.theta[first:]
    if not len(shifts):
        return 1.0
    _, information = surface.information()
    there = slice(first, first + len(shifts))
    covariance = surface.noise**2 * np.linalg.pinv(information)[there, there]
    # a surface with hardly a bowl does not determine some shifts: they carry no evidence
    wald = float(shifts @ np.linalg.pinv(covariance) @ shifts) / len(shifts)
    freedom = surface.freedom
    return float(stats.f.sf(wald, len(shifts), freedom)) if freedom > 0 else 1.0
