"""Regression of the optima of several grids on their axes, in natural logs.

A grid is the runs of one combination of axes other than the batch size; a curve is one batch size
of a grid. The optimum of a curve is

    y_gi = form(ln B_gi; level, turn or exponent) + u_g + v_gi + e_gi,

where e has a known covariance within a grid, and u and v are independent with unknown variances: u
is shared by a grid, v is specific to a curve. The level (the log of LR_max) and the turn are linear
in the logs of the other axes. The variances maximise the restricted likelihood of the law
linearised at its parameters, as in nonlinear mixed models (Lindstrom and Bates, Biometrics 46,
1990).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from scaling.analysis.law_selection import FAR, FORMS
from scaling.analysis.loss_surface import Matrix, Vector

SINGULAR = 1e-9  # smallest eigenvalue of an information matrix of unit diagonal
STEEP = 5.0  # bound of the exponents by which the turn moves with an axis


@dataclass(frozen=True)
class Grids:
    """The optima of several grids; arrays of grids x curves are padded.

    Logs of batch sizes and of the other axes are centred.
    """

    logs: Matrix  # log batch size, grids x curves
    optima: Matrix  # log lr of the optimum; grids x curves
    errors: NDArray[np.float64]  # covariance of their errors, grids x curves x curves
    there: NDArray[np.bool_]  # grids x curves
    axes: Matrix  # a constant, then logs of the other axes; grids x columns

    @cached_property
    def size(self) -> int:
        """Number of curves."""
        return int(self.there.sum())

    def where(self, kept: NDArray[np.bool_]) -> "Grids":
        """Some of the grids."""
        return Grids(
            self.logs[kept], self.optima[kept], self.errors[kept], self.there[kept], self.axes[kept]
        )

    def covariance(self, between_grids: float, between_curves: float) -> NDArray[np.float64]:
        """Covariance of the optima of each grid about the law; a padded curve has variance 1."""
        both = self.there[:, :, None] & self.there[:, None, :]
        eye = np.eye(self.there.shape[1])
        within = self.errors + between_curves * eye + between_grids
        return np.where(both, within, 0.0) + eye * ~self.there[:, :, None]


@dataclass(frozen=True)
class AxesFit:
    """A form, fitted to the optima of grids."""

    form: str
    theta: Vector  # the level's coefficients, then the exponent, or the turn's coefficients
    covariance: Matrix  # of theta; infinite if the optima do not determine it
    between_grids: float  # variance
    between_curves: float
    freedom: int  # grids less the level's coefficients
    scores: Vector  # log density of the optima of each grid, predicted from the others; see `score`

    @property
    def score(self) -> float:
        """Sum of the scores of the grids that can be left out; -inf if none of them can."""
        known = np.isfinite(self.scores)
        return float(self.scores[known].sum()) if known.any() else -math.inf

    def predict(self, logs: Vector, axes: Matrix, level: float) -> tuple[Vector, Vector]:
        """Log of the best lr of new curves of new grids, and the half width of its interval.

        Args:
            logs: log of the batch sizes, centred as those of the grids fitted.
            axes: a row for each, as `Grids.axes`.
            level: of the prediction interval.
        """
        slopes = _slopes(self.form, self.theta, logs, axes)
        known = np.einsum("ij,jk,ik->i", slopes, self.covariance, slopes)
        errors = np.sqrt(known + self.between_grids + self.between_curves)
        return _values(self.form, self.theta, logs, axes), self.quantile(level) * errors

    def quantile(self, level: float) -> float:
        """Two-sided quantile of the t distribution, whose degrees of freedom count grids."""
        return float(stats.t.ppf((1 + level) / 2, self.freedom))


def fit_axes(form: str, grids: Grids, start: AxesFit | None = None) -> AxesFit:
    """Fit a form by generalised least squares and restricted maximum likelihood.

    Args:
        form: one of `FORMS`.
        grids: their optima, of more grids than the axes have columns.
        start: a fit of this form to other grids, to begin with.
    """
    variances = (start.between_grids, start.between_curves) if start else (0.01, 0.01)
    starts = [start.theta] if start else _starts(form, grids)
    for _ in range(3):  # the variances depend little on where the form bends
        roots = _roots(grids, *variances)
        theta = min((_least(form, grids, begin, roots) for begin in starts), key=lambda it: it[1])[
            0
        ]
        starts = [theta]
        slopes = _slopes(form, theta, grids.logs, grids.axes) * grids.there[:, :, None]
        residuals = (grids.optima - _values(form, theta, grids.logs, grids.axes)) * grids.there
        white, _ = _whitened(roots, slopes, residuals)
        if _inverse(np.einsum("gij,gik->jk", white, white)) is None:
            break
        variances = _variances(grids, slopes, residuals, variances)
    white, left = _whitened(_roots(grids, *variances), slopes, residuals)
    information = np.einsum("gij,gik->jk", white, white)
    freedom = len(grids.axes) - grids.axes.shape[1]
    covariance = _inverse(information)
    if covariance is None:  # such as a turn far from every batch size
        covariance = np.full_like(information, math.inf)
        scores = np.full(len(grids.axes), math.nan)
    else:
        scores = _scores(grids, slopes, residuals, white, left, variances)
    return AxesFit(form, theta, covariance, *variances, freedom, scores)


def _values(form: str, theta: Vector, logs: Matrix, axes: Matrix) -> Matrix:
    """The form at curves; `logs` may have a dimension of curves after that of `axes`."""
    columns = axes.shape[-1]
    level, rest = axes @ theta[:columns], theta[columns:]
    shaped = (..., None) if logs.ndim > level.ndim else (...,)
    names = FORMS[form][1]
    more = []
    if names[-1] == "exponent":
        more = [rest[0]]
    elif names[-1] == "batch":
        more = [(axes @ rest)[shaped]]
    return np.asarray(FORMS[form][0](logs, level[shaped], *more), np.float64)


def _slopes(form: str, theta: Vector, logs: Matrix, axes: Matrix) -> NDArray[np.float64]:
    """Derivatives of the form by theta, in the last dimension."""
    steps = 1e-4 * np.eye(len(theta))
    ahead = [_values(form, theta + step, logs, axes) for step in steps]
    behind = [_values(form, theta - step, logs, axes) for step in steps]
    slopes: NDArray[np.float64] = (np.stack(ahead, -1) - np.stack(behind, -1)) / 2e-4
    return slopes


def _starts(form: str, grids: Grids) -> list[Vector]:
    """Parameters to begin with: a law of batch alone, bending at several places."""
    mean, columns = float(grids.optima[grids.there].mean()), grids.axes.shape[1]
    level, turn = np.zeros(columns), np.zeros(columns)
    level[0] = mean
    names = FORMS[form][1]
    if names[-1] == "lr":
        return [level]
    if names[-1] == "exponent":
        return [np.append(level, 0.3)]
    inside = grids.logs[grids.there]
    places = np.linspace(inside.min(), inside.max(), 4)
    return [np.concatenate([level, [place], turn[1:]]) for place in places]


def _least(
    form: str, grids: Grids, start: Vector, roots: NDArray[np.float64]
) -> tuple[Vector, float]:
    """Parameters by generalised least squares from a start, and their squared distance."""
    columns = grids.axes.shape[1]
    bounds = np.full(len(start), math.inf)
    if FORMS[form][1][-1] == "batch":
        inside = np.abs(grids.logs[grids.there]).max()
        bounds[columns:] = STEEP
        bounds[columns] = inside + FAR

    def errors(theta: Vector) -> Vector:
        missed = (grids.optima - _values(form, theta, grids.logs, grids.axes)) * grids.there
        return np.linalg.solve(roots, missed[:, :, None])[grids.there, 0]

    def slopes(theta: Vector) -> Matrix:
        by_theta = _slopes(form, theta, grids.logs, grids.axes) * grids.there[:, :, None]
        return np.asarray(-np.linalg.solve(roots, by_theta)[grids.there], np.float64)

    found = optimize.least_squares(
        errors, start.clip(-bounds, bounds), slopes, bounds=(-bounds, bounds), x_scale="jac",
        max_nfev=50,
    )  # fmt: skip
    return found.x, float(found.cost)


def _roots(grids: Grids, between_grids: float, between_curves: float) -> NDArray[np.float64]:
    covariance = grids.covariance(between_grids, between_curves)
    return np.asarray(np.linalg.cholesky(covariance), np.float64)


def _whitened(
    roots: NDArray[np.float64], slopes: NDArray[np.float64], residuals: Matrix
) -> tuple[NDArray[np.float64], Matrix]:
    columns = np.concatenate([slopes, residuals[:, :, None]], axis=2)
    both = np.asarray(np.linalg.solve(roots, columns), np.float64)
    return both[:, :, :-1], both[:, :, -1]


def _variances(
    grids: Grids, slopes: NDArray[np.float64], residuals: Matrix, start: tuple[float, float]
) -> tuple[float, float]:
    """Variances between grids and between the curves of a grid, by restricted likelihood."""

    def deviance(logs: Vector) -> float:
        roots = _roots(grids, *np.exp(logs.clip(-18, 5)))
        white, left = _whitened(roots, slopes, residuals)
        information = np.einsum("gij,gik->jk", white, white)
        score = np.einsum("gij,gi->j", white, left)
        fitted = np.linalg.lstsq(information, score, rcond=None)[0]
        sizes = 2 * np.log(np.einsum("gii->gi", roots)).sum()
        return float(sizes + np.linalg.slogdet(information)[1] + (left**2).sum() - score @ fitted)

    begin = np.log(np.maximum(start, 1e-6))
    found = optimize.minimize(
        deviance, begin, method="Nelder-Mead", options={"maxiter": 80, "xatol": 0.02, "fatol": 1e-3}
    ).x
    between_grids, between_curves = np.exp(found.clip(-18, 5)).tolist()
    return between_grids, between_curves


def _scores(
    grids: Grids,
    slopes: NDArray[np.float64],
    residuals: Matrix,
    white: NDArray[np.float64],
    left: Matrix,
    variances: tuple[float, float],
) -> Vector:
    """Log density of the optima of each grid, predicted from the others by the linearised law.

    It is nan for a grid if the others do not determine the law.
    """
    own = np.einsum("gij,gik->gjk", white, white)
    score = np.einsum("gij,gi->gj", white, left)
    total = grids.covariance(*variances)
    scores = []
    for i, there in enumerate(grids.there):
        rest = np.arange(len(own)) != i
        others = _inverse(own[rest].sum(axis=0))
        if others is None:
            scores.append(math.nan)
            continue
        rows = slopes[i][there]
        missed = residuals[i][there] - rows @ others @ score[rest].sum(axis=0)
        spread = total[i][np.ix_(there, there)] + rows @ others @ rows.T
        size = np.linalg.slogdet(2 * np.pi * spread)[1]
        scores.append(-float(size + missed @ np.linalg.solve(spread, missed)) / 2)
    return np.array(scores)


def _inverse(information: Matrix) -> Matrix | None:
    """The inverse of a positive matrix; None if it is singular, whatever its units."""
    sizes = np.sqrt(np.diag(information))
    if not (sizes > 0).all():
        return None
    scaled = information / np.outer(sizes, sizes)
    if np.linalg.eigvalsh(scaled)[0] < SINGULAR:
        return None
    return np.asarray(np.linalg.inv(scaled) / np.outer(sizes, sizes), np.float64)
