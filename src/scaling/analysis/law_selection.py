"""Laws that compete to say how the best learning rate moves with the batch size."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from scaling.analysis import loss_surface, powerlaws, surface_inference
from scaling.analysis.loss_surface import Matrix, Vector

TIE = 4.0  # AICc: a cut at 0 would prefer a redundant parameter in 16 % of all cases


def _constant(log_batch: Vector, level: float) -> Vector:
    return np.full_like(log_batch, level)


def _power(log_batch: Vector, level: float, exponent: float) -> Vector:
    return level + exponent * log_batch


def _saturating(log_batch: Vector, level: float, log_scale: float) -> Vector:
    """LR_max / (1 + B_n / B), for SGD: McCandlish et al. (arXiv:1812.06162, eq. 2.6)."""
    return level - np.logaddexp(0, log_scale - log_batch)


def _surge(log_batch: Vector, level: float, log_scale: float) -> Vector:
    """LR_max / (1/2 (sqrt(B_n / B) + sqrt(B / B_n))), for Adam: Li et al. (arXiv:2405.14578)."""
    half = (log_scale - log_batch) / 2
    return level - np.logaddexp(half, -half) + math.log(2)


LAWS: dict[str, tuple[Callable[..., Vector], tuple[str, ...]]] = {
    "constant": (_constant, ("lr",)),
    "power": (_power, ("lr", "exponent")),
    "saturating": (_saturating, ("lr", "batch")),
    "surge": (_surge, ("lr", "batch")),
}


@dataclass(frozen=True)
class Candidate:
    """A law fitted to the optima of the batch sizes.

    `lr` and `batch` are LR_max and B_n; for the power law `lr` is that of batch size 1.
    """

    name: str
    parameters: tuple[tuple[str, float], ...]
    aicc: float
    behind: float  # AICc above the lowest
    left_out: float  # root mean square error of each batch size from the others, in natural log lr


@dataclass(frozen=True)
class Candidates:
    """The laws, the best first, and those that fit about as well as the best."""

    fits: tuple[Candidate, ...]
    tied: tuple[str, ...]  # names within `TIE` of the best; one name is a preference
    reason: str  # why there are none; empty otherwise


def candidates(rows: pd.DataFrame) -> Candidates:
    """Compare constant, power, saturating and surge laws by AICc and leave-one-batch-out error.

    In one surface (`scaling.analysis.loss_surface`) each batch size has a free optimum. Their
    covariance is that of a jackknife over curves; what the runs of a seed share is removed with the
    shift of the seed. Laws are fitted by generalised least squares.

    Args:
        rows: columns `batch`, `lr`, `seed`, `val_loss` in nats and `status`, of runs that differ in
            nothing else; as `scaling.results.read` gives them.

    Returns:
        The fits, the best first, or the reason why no laws are compared: five batch sizes and an
        identified law are needed (`learning_rate_law`).

    Raises:
        ValueError: as `learning_rate_law`.
    """
    law = powerlaws.learning_rate_law(rows)
    if not law.identified:
        return Candidates((), (), law.reason)
    surface = loss_surface.free(loss_surface.fit(loss_surface.Losses.of(rows)))
    if surface_inference.lack_of_fit(surface) < powerlaws.MISFIT:
        return Candidates((), (), "bowls of one shape do not fit all batch sizes")
    optima, logs = surface.optima, np.log(surface.losses.batches)
    if len(optima) < 5:
        return Candidates((), (), f"{len(optima)} batch sizes; AICc of two parameters needs 5")
    covariance = surface_inference.jackknife(surface)
    curves = len(np.unique(surface.losses.curve))
    if curves <= len(optima) + 2:
        return Candidates((), (), f"{curves} curves do not give the covariance of the optima")
    # a covariance of few curves makes distances too large, by this factor on average (Hartlap
    # et al., arXiv:astro-ph/0608064, eq. 17)
    precision = np.linalg.pinv(covariance) * (curves - len(optima) - 2) / (curves - 1)
    fits = [_candidate(name, logs, optima, precision) for name in LAWS]
    best = min(fit.aicc for fit in fits)
    ranked = [
        Candidate(fit.name, fit.parameters, fit.aicc, fit.aicc - best, fit.left_out)
        for fit in sorted(fits, key=lambda fit: fit.aicc)
    ]
    return Candidates(tuple(ranked), tuple(fit.name for fit in ranked if fit.behind < TIE), "")


def _candidate(name: str, logs: Vector, optima: Vector, precision: Matrix) -> Candidate:
    form, names = LAWS[name]
    number, count = len(optima), len(names)
    fitted, distance = _least(form, count, logs, optima, precision)
    penalty = 2 * count + 2 * count * (count + 1) / (number - count - 1)
    errors = []
    for i in range(number):
        rest = np.arange(number) != i
        marginal = np.linalg.pinv(np.linalg.pinv(precision)[np.ix_(rest, rest)])
        without, _ = _least(form, count, logs[rest], optima[rest], marginal)
        errors.append(float(form(logs[i : i + 1], *without)[0] - optima[i]))
    shown = [
        float(value) if key == "exponent" else float(np.exp(value))
        for key, value in zip(names, fitted, strict=True)
    ]
    return Candidate(
        name,
        parameters=tuple(zip(names, shown, strict=True)),
        aicc=distance + penalty,
        behind=0.0,
        left_out=float(np.sqrt(np.mean(np.square(errors)))),
    )


def _least(
    form: Callable[..., Vector], count: int, logs: Vector, optima: Vector, precision: Matrix
) -> tuple[Vector, float]:
    """Parameters of the smallest distance, from several starts, and the distance."""
    root = np.linalg.cholesky(precision + 1e-12 * np.trace(precision) * np.eye(len(precision))).T
    second: list[list[float]] = [[]]
    if count == 2:
        second = [[0.0], [logs.mean()], [logs[0]], [logs[-1]]]
    fits = [
        optimize.least_squares(
            lambda theta: root @ (optima - form(logs, *theta)),
            [optima.mean(), *start],
            bounds=(-60, 60),
        )
        for start in second
    ]
    best = min(fits, key=lambda fit: fit.cost)
    return best.x, 2 * float(best.cost)
