"""Sweeps with a known law: bowls in log lr, and the noisy quadratic model of SGD."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

HALF_DECADE = np.log(10) / 2
BOWLS = (
    "wide", "curved", "diverged", "diverging", "missing", "moving", "tilting", "cut", "all"
)  # fmt: skip
NULLS = ("flat", "flat_with_bad_runs", "outside")


@dataclass
class Draw:
    """One planted sweep; arrays are batches x learning rates x seeds."""

    rows: pd.DataFrame
    exponent: float
    slope: np.ndarray = field(repr=False)  # of the loss by the log lr of the optimum
    sd: np.ndarray = field(repr=False)
    seen: np.ndarray = field(repr=False)  # neither missing nor diverged
    logs: np.ndarray = field(repr=False)  # of the batch sizes, centred
    moves: str = ""  # which optima share a shift: those of a `seed`, or each `curve` its own

    def oracle_width(self) -> float:
        """Width of the 95 % interval for a known shape of the bowl and known variances.

        Generalised least squares for intercept and slope of the law, an offset of each batch size
        and each seed, where shifts of the optimum are random effects of known variance.
        """
        nb, nl, ns = self.slope.shape
        batch, _, seed = (index[self.seen] for index in np.indices((nb, nl, ns)))
        slope, sd = self.slope[self.seen], self.sd[self.seen]
        offsets = [np.eye(nb)[batch], np.eye(ns)[seed][:, 1:]]
        design = np.column_stack([slope, slope * self.logs[batch], *offsets])
        covariance = np.diag(sd**2)
        if self.moves:
            groups = seed if self.moves == "seed" else batch * ns + seed
            together = groups[:, None] == groups[None, :]
            covariance += SHIFT**2 * together * np.outer(slope, slope)
        information = design.T @ np.linalg.solve(covariance, design)
        return float(2 * 1.96 * np.sqrt(np.linalg.pinv(information)[1, 1]))


SHIFT = 0.25  # standard deviation of a moving optimum, in natural log lr
TILT = 0.08  # standard deviation of the slope of a seed, per unit of log batch
EDGE = 2.0, 0.2  # where runs diverge: mean and standard deviation of the log lr above the optimum


def bowl(
    rng: np.random.Generator,
    family: str,
    *,
    noise: float | None = None,
    seeds: int | None = None,
    batches: int | None = None,
    skew: float = 0.0,
) -> Draw:
    """A sweep whose losses are parabolas in log lr, or skewed (LINEX).

    Args:
        rng: of all draws.
        family: one of `BOWLS`.
        noise: standard deviation of a loss over the bowl's depth, which is the mean rise of a
            parabola over the grid that it is centred in; 0.02 to 0.30 if not given.
        seeds: 3 to 5 if not given.
        batches: sizes, each twice the one before; 5 to 8 if not given.
        skew: of the bowl.
    """
    nb, nl = int(rng.integers(5, 9)), int(rng.integers(7, 10))
    nb = batches or nb
    ns = seeds or int(rng.integers(3, 6))
    noise = noise or float(np.exp(rng.uniform(np.log(0.02), np.log(0.30))))
    logs = np.arange(nb) * np.log(2)
    logs = logs - logs.mean()
    x = (np.arange(nl) - (nl - 1) / 2) * HALF_DECADE
    if family in ("cut", "all"):
        exponent = rng.uniform(0.4, 1.0)
        lost = max(1, round(rng.uniform(0.3, 0.5) * nb))
        optima = x[-1] + exponent * (logs - (logs[nb - lost - 1] + logs[nb - lost]) / 2)
    else:
        exponent = rng.uniform(0.0, 1.0)
        optima = exponent * logs + rng.uniform(-0.3, 0.3)
        half = max(x[-1], np.abs(optima).max() + HALF_DECADE)
        x = np.linspace(-half, half, nl)
    curvature = rng.uniform(-0.4, 0.4) if family in ("curved", "all") else 0.0
    heights = np.exp(curvature * logs)
    moves = str(rng.choice(["seed", "curve"])) if family in ("moving", "all") else ""
    shift = SHIFT * rng.standard_normal((1 if moves == "seed" else nb, ns)) if moves else 0.0
    if family == "tilting":  # each seed has a law of its own
        tilts = TILT * rng.standard_normal(ns) * logs[:, None]
        shift = SHIFT * rng.standard_normal(ns) + tilts
    z = x[None, :, None] - np.broadcast_to(optima[:, None] + shift, (nb, ns))[:, None, :]
    losses = 3 - 0.1 * logs[:, None, None] + heights[:, None, None] * _linex(z, skew)
    sd = np.full(z.shape, noise * x[-1] ** 2 / 3)
    if family in ("curved", "all"):
        sd = sd * (1 + rng.uniform(0.3, 1.5) * np.clip(z, 0, None))
    losses = losses + sd * rng.standard_normal(z.shape)
    losses = losses + 0.5 * sd[0, 0] * rng.standard_normal(ns)
    status = np.full(z.shape, "done", dtype=object)
    if family in ("diverged", "all"):
        status[z > rng.uniform(1.5, 2.5)] = "diverged"
    if family == "diverging":
        status[z > rng.normal(*EDGE, z.shape)] = "diverged"
    kept = rng.random(z.shape) >= (0.15 if family in ("missing", "all") else 0.0)
    middle = x[None, :, None] - optima[:, None, None] + np.zeros(z.shape)
    return Draw(
        _rows(8 * 2 ** np.arange(nb), x, losses, status, kept),
        float(exponent),
        slope=-heights[:, None, None]
        * (np.expm1(skew * middle) * 2 / skew if skew else 2 * middle),
        sd=sd,
        seen=kept & (status == "done"),
        logs=logs,
        moves=moves,
    )


def null(rng: np.random.Generator, family: str) -> pd.DataFrame:
    """A sweep without an exponent; `family` is one of `NULLS`."""
    nb, nl, ns = int(rng.integers(5, 9)), int(rng.integers(7, 10)), int(rng.integers(3, 6))
    x = (np.arange(nl) - (nl - 1) / 2) * HALF_DECADE
    losses = 3 + 0.1 * rng.standard_normal((nb, nl, ns)) + 0.05 * rng.standard_normal(ns)
    if family == "flat_with_bad_runs":
        for _ in range(rng.integers(2, 6)):
            at = rng.integers(nb), nl - 1 - rng.integers(2), rng.integers(ns)
            losses[at] += rng.uniform(0.5, 5)
    if family == "outside":
        side = rng.choice([-1, 1])
        far = rng.uniform(0.3, 2) + rng.uniform(0, 1) * np.log(2) * np.arange(nb)
        rise = (x[None, :] - side * (x[-1] + far)[:, None]) ** 2
        depth = np.ptp(rise, axis=1).mean() / 3
        noise = np.exp(rng.uniform(np.log(0.02), np.log(0.30))) * depth
        losses = 3 + rise[:, :, None] + noise * rng.standard_normal((nb, nl, ns))
    done = np.full(losses.shape, "done", dtype=object)
    return _rows(8 * 2 ** np.arange(nb), x, losses, done, np.full(losses.shape, True))


def noisy_quadratic(rng: np.random.Generator) -> tuple[pd.DataFrame, float]:
    """SGD on a quadratic with gradient noise, in closed form, and the exponent of its optima.

    Zhang et al. (arXiv:1907.04163, eq. 3): curvatures h_i = 1 / i, noise variance h_i times a
    scale over the batch size. Its best learning rates follow no power law exactly; the exponent is
    that of the least-squares line through them.
    """
    nb, ns = int(rng.integers(5, 9)), int(rng.integers(3, 6))
    batches = 8 * 2 ** np.arange(nb)
    steps, scale = int(rng.choice([100, 300, 1000])), float(rng.choice([10, 100, 1000]))
    h = 1 / np.arange(1, 101)

    def expected(x: np.ndarray, batch: int) -> np.ndarray:
        lr = np.exp(x)[:, None]
        kept = (1 - lr * h) ** 2
        noise = lr**2 * h * scale / batch * (1 - kept**steps) / (1 - kept)
        return 0.5 * (h * (kept**steps + noise)).sum(axis=1)

    fine = np.linspace(np.log(1e-4), np.log(1.99), 3000)
    optima = np.array([fine[expected(fine, batch).argmin()] for batch in batches])
    x = optima.mean() + (np.arange(int(rng.integers(7, 10))) - 3.5) * HALF_DECADE
    x = x[x < np.log(1.95)]
    mean = np.array([expected(x, batch) for batch in batches])
    depth = (np.median(mean, axis=1) - mean.min(axis=1)).mean()
    noise = np.exp(rng.uniform(np.log(0.02), np.log(0.30))) * depth
    losses = mean[:, :, None] + noise * rng.standard_normal((nb, len(x), ns))
    done = np.full(losses.shape, "done", dtype=object)
    rows = _rows(batches, x, losses, done, np.full(losses.shape, True))
    return rows, float(np.polyfit(np.log(batches), optima, 1)[0])


def _linex(z: np.ndarray, skew: float) -> np.ndarray:
    return 2 * (np.exp(skew * z) - 1 - skew * z) / skew**2 if skew else z**2


def _rows(batches, x, losses, status, kept) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "batch": int(batches[i]),
                "lr": float(np.exp(x[j])),
                "clip": 1.0,
                "seed": s,
                "val_loss": losses[i, j, s] if status[i, j, s] == "done" else np.nan,
                "status": status[i, j, s],
            }
            for i, j, s in np.argwhere(kept)
        ]
    )


def axes(rng: np.random.Generator, seeds: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Sweeps of several sizes and durations, with the `optimum`, and the exponents of their law.

    ln LR_opt = a + n ln N + d ln D - ln(1 + B_n / B) with B_n ~ D^e: nine to sixteen grids of
    parameters N and tokens D, each of 5 to 8 batch sizes and 7 to 9 learning rates, with parabolas
    and noise as `bowl` has.
    """
    exponents = {
        "parameters": rng.uniform(-1, 0), "tokens": rng.uniform(0, 0.5), "turn": rng.uniform(0.3, 1)
    }  # fmt: skip
    nb, nl = int(rng.integers(5, 9)), int(rng.integers(7, 10))
    sizes, lengths = 1e8 * 2.0 ** np.arange(rng.integers(3, 5)), 1e10 * 3.0 ** np.arange(3)
    noise = float(np.exp(rng.uniform(np.log(0.02), np.log(0.30))))
    logs = np.log(32) + np.arange(nb) * np.log(2)
    parts = []
    for size in sizes:
        for length in lengths:
            n, d = np.log(size / sizes[0]), np.log(length / lengths[1])
            turn = logs.mean() + exponents["turn"] * d
            level = np.log(1e-2) + exponents["parameters"] * n + exponents["tokens"] * d
            optima = level - np.logaddexp(0, turn - logs)
            half = max((nl - 1) / 2 * HALF_DECADE, np.ptp(optima) / 2 + HALF_DECADE)
            x = np.linspace(-half, half, nl) + (optima.min() + optima.max()) / 2
            z = x[None, :, None] - optima[:, None, None] + np.zeros(seeds)
            losses = 3 + z**2 + noise * half**2 / 3 * rng.standard_normal(z.shape)
            losses = losses + noise * half**2 / 6 * rng.standard_normal(seeds)
            done = np.full(z.shape, "done", dtype=object)
            rows = _rows(np.exp(logs).round(), x, losses, done, np.full(z.shape, True))
            best = rows["batch"].map(dict(zip(np.exp(logs).round(), np.exp(optima), strict=True)))
            parts.append(rows.assign(parameters=size, tokens=length, optimum=best))
    return pd.concat(parts, ignore_index=True), exponents
