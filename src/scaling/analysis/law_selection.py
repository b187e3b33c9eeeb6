"""Forms of the law of the best learning rate over the batch size, and their comparison.

The optimum of each batch size is an estimate with a known error, and may scatter about a law by
more than this error. Each form is a meta-regression of these estimates
(`scaling.analysis.meta_regression`); its second parameter is found by generalised least squares.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from scaling.analysis.intervals import LEVEL
from scaling.analysis.meta_regression import Matrix, Regression, Vector, between_variance, regress

FAR = math.log(1e3)  # a turn may lie so far outside the batch sizes
DECISIVE = 2.0  # standard errors between the log scores of two forms
FEWEST = 5  # batch sizes; AICc of a form with two parameters needs as many


def _constant(log_batch: Vector, level: float) -> Vector:
    return np.full_like(log_batch, level)


def _power(log_batch: Vector, level: float, exponent: float) -> Vector:
    return level + exponent * log_batch


def _saturating(log_batch: Vector, level: float, log_turn: float | Matrix) -> Vector:
    """LR_max / (1 + B_n / B), for SGD: McCandlish et al. (arXiv:1812.06162, eq. 2.6)."""
    return level - np.logaddexp(0, log_turn - log_batch)


def _surge(log_batch: Vector, level: float, log_turn: float | Matrix) -> Vector:
    """LR_max / (1/2 (sqrt(B_n / B) + sqrt(B / B_n))), for Adam: Li et al. (arXiv:2405.14578)."""
    half = (log_turn - log_batch) / 2
    return level - np.logaddexp(half, -half) + math.log(2)


FORMS: dict[str, tuple[Callable[..., Vector], tuple[str, ...]]] = {
    "constant": (_constant, ("lr",)),
    "power": (_power, ("lr", "exponent")),
    "saturating": (_saturating, ("lr", "batch")),
    "surge": (_surge, ("lr", "batch")),
}


@dataclass(frozen=True)
class Candidate:
    """A form of the law, fitted to the optima of the batch sizes.

    `lr` and `batch` of the parameters are LR_max and the turn B_n, at which the form bends; for the
    power law `lr` is that of batch size 1.
    """

    name: str
    parameters: tuple[tuple[str, float], ...]
    turn: tuple[float, float, float]  # B_n with its 95 % interval, 0 or inf if open; else nan
    aicc: float  # counts batch sizes
    behind: float  # AICc above the lowest
    log_score: float  # mean log density of each batch size's optimum, predicted from the others
    left_out: float  # root mean square error of these predictions, in natural log lr
    theta: Vector
    regression: Regression  # linearised at theta

    def predict(self, batches: Vector, level: float) -> tuple[Vector, Vector]:
        """Log of the best lr of new curves, and the half width of their prediction interval.

        The interval is that of one more optimum: it includes how much optima scatter about the
        form.
        """
        logs, between = np.log(batches), self.regression.between
        rows = _slopes(self.name, logs, self.theta)
        half = [self.regression.reach(row, level, between) for row in rows]
        return FORMS[self.name][0](logs, *self.theta), np.array(half)


@dataclass(frozen=True)
class Candidates:
    """The forms, the best prediction first, and those that cannot be distinguished from it."""

    fits: tuple[Candidate, ...]
    tied: tuple[str, ...]  # the best first; one name is a preference
    reason: str  # why no forms are compared; empty otherwise


def compare(batches: Vector, optima: Vector, errors: Matrix) -> Candidates:
    """Compare the forms by how well they predict held-out batch sizes.

    The score is the log density of the held-out optimum (Vehtari, Gelman and Gabry,
    arXiv:1507.04544, sec. 2). A form is preferred if the paired differences from every other one
    are two standard errors from 0, and AICc agrees; anything else is a tie.

    Args:
        batches: sizes.
        optima: natural log of the best lr of each.
        errors: covariance of the errors of `optima`.
    """
    if len(batches) < FEWEST:
        few = f"fewer than {FEWEST} batch sizes have their fitted minimum inside the grid"
        return Candidates((), (), few)
    logs = np.log(batches)
    scored = [fit_form(name, logs, optima, errors) for name in FORMS]
    lowest = min(fit.aicc for fit, _ in scored)
    scored.sort(key=lambda pair: -pair[0].log_score)
    (best, scores), tied = scored[0], []
    for fit, others in scored[1:]:
        differences = scores - others
        error = differences.std(ddof=1) / math.sqrt(len(differences))
        if differences.mean() < DECISIVE * error or fit.aicc < best.aicc:
            tied.append(fit.name)
    fits = tuple(replace(fit, behind=fit.aicc - lowest) for fit, _ in scored)
    return Candidates(fits, (best.name, *tied), "")


def fit_form(name: str, logs: Vector, optima: Vector, errors: Matrix) -> tuple[Candidate, Vector]:
    """Fit a form, and score each batch size by the fit to the others."""
    form, names = FORMS[name]
    number, between = len(optima), 0.0
    for _ in range(3):  # the variance about the form depends little on where it bends
        covariance = errors + between * np.eye(number)
        theta = _least(name, logs, optima, covariance)
        linear = optima - form(logs, *theta) + _slopes(name, logs, theta) @ theta
        between = between_variance(linear, errors, _slopes(name, logs, theta))
    regression = regress(linear, errors, _slopes(name, logs, theta))
    covariance = errors + regression.between * np.eye(number)
    residuals = optima - form(logs, *theta)
    count = len(names) + 1  # the variance is one
    deviance = float(
        residuals @ np.linalg.solve(covariance, residuals)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    penalty = 2 * count * number / max(number - count - 1, 0.5)
    missed, scores = _left_out(name, logs, optima, covariance)
    shown = [
        float(value) if key == "exponent" else float(np.exp(value))
        for key, value in zip(names, theta, strict=True)
    ]
    turn = (math.nan,) * 3
    if names[-1] == "batch":
        turn = (shown[-1], *_turn_interval(name, theta[-1], logs, optima, covariance, regression))
    fit = Candidate(
        name, tuple(zip(names, shown, strict=True)), turn, deviance + penalty, 0.0,
        float(scores.mean()), float(np.sqrt(np.mean(missed**2))), theta, regression,
    )  # fmt: skip
    return fit, scores


def _left_out(name: str, logs: Vector, optima: Vector, covariance: Matrix) -> tuple[Vector, Vector]:
    """Error and log density of each optimum, predicted from the others."""
    missed, scores = [], []
    for i in range(len(optima)):
        rest = np.arange(len(optima)) != i
        known = covariance[np.ix_(rest, rest)]
        theta = _least(name, logs[rest], optima[rest], known)
        slopes, row = _slopes(name, logs[rest], theta), _slopes(name, logs[i : i + 1], theta)[0]
        uncertain = np.linalg.pinv(slopes.T @ np.linalg.solve(known, slopes))
        sd = math.sqrt(covariance[i, i] + row @ uncertain @ row)
        missed.append(float(FORMS[name][0](logs[i : i + 1], *theta)[0] - optima[i]))
        scores.append(float(stats.norm.logpdf(missed[-1], scale=sd)))
    return np.array(missed), np.array(scores)


def _slopes(name: str, logs: Vector, theta: Sequence[float] | Vector) -> Matrix:
    """Derivatives of a form by its parameters, a row for each batch size."""
    form, columns = FORMS[name][0], []
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-4
        columns.append((form(logs, *(theta + step)) - form(logs, *(theta - step))) / 2e-4)
    return np.column_stack(columns)


def _least(name: str, logs: Vector, optima: Vector, covariance: Matrix) -> Vector:
    """Parameters by generalised least squares."""
    if FORMS[name][1][-1] != "batch":
        design = np.column_stack([np.ones_like(logs), logs])[:, : len(FORMS[name][1])]
        weighted = np.linalg.solve(covariance, design)
        solution: Vector = np.linalg.solve(design.T @ weighted, weighted.T @ optima)
        return solution
    turns = np.linspace(logs.min() - FAR, logs.max() + FAR, 121)
    for _ in range(4):  # 60 times closer each
        levels, distances = _over_turns(name, turns, logs, optima, covariance)
        best = int(distances.argmin())
        lowest = np.array([levels[best], turns[best]])
        ends = turns[max(best - 1, 0)], turns[min(best + 1, len(turns) - 1)]
        turns = np.linspace(*ends, 121)
    return lowest


def _over_turns(
    name: str, turns: Vector, logs: Vector, optima: Vector, covariance: Matrix
) -> tuple[Vector, Vector]:
    """The best level of a form at each of some turns, and its squared distance to the optima."""
    rest = optima - FORMS[name][0](logs, 0.0, turns[:, None])
    precision = np.linalg.inv(covariance)
    levels = rest @ precision.sum(axis=0) / precision.sum()
    rest = rest - levels[:, None]
    return levels, ((rest @ precision) * rest).sum(axis=1)


def _turn_interval(
    name: str,
    log_turn: float,
    logs: Vector,
    optima: Vector,
    covariance: Matrix,
    regression: Regression,
) -> tuple[float, float]:
    """The likelihood-ratio interval of the turn; an open end is 0 or inf.

    It always contains the estimate, exp(log_turn).
    """
    allowed = stats.f.isf(1 - LEVEL, 1, regression.freedom) * max(1.0, regression.scale)

    def excess(turns: Vector) -> Vector:
        """Squared distance to the optima, beyond the allowed one."""
        found = _over_turns(name, np.append(turns, log_turn), logs, optima, covariance)[1]
        return found[:-1] - found[-1] - allowed

    turns = np.union1d(np.linspace(logs.min() - FAR, logs.max() + FAR, 801), [log_turn])
    inside = np.flatnonzero(excess(turns) <= 0)
    first, last = int(inside[0]), int(inside[-1])

    def end(between: slice) -> float:
        return math.exp(optimize.brentq(lambda turn: excess(np.array([turn]))[0], *turns[between]))

    return (
        0.0 if first == 0 else end(slice(first - 1, first + 1)),
        math.inf if last == len(turns) - 1 else end(slice(last, last + 2)),
    )
