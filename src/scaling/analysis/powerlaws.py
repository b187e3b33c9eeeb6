"""The law of the best learning rate over the batch size: LR_opt = C batch^beta."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis import law_selection, surface_inference
from scaling.analysis.axes_law import AxesLaw, axes_law
from scaling.analysis.intervals import LEVEL
from scaling.analysis.law_selection import Candidate, Candidates
from scaling.analysis.loss_surface import Matrix, Vector
from scaling.analysis.memo import once_for_rows
from scaling.analysis.meta_regression import Regression, regress
from scaling.analysis.seed_groups import grouped
from scaling.analysis.surface_inference import CurveOptima
from scaling.analysis.sweep_optima import SweepOptima, sweep_optima
from scaling.contracts.columns import alike, need, need_coordinates

NOT_COMPARED = Candidates((), (), "no law is identified")
SEEDS = 3  # fewest seeds for an interval that includes the variation between seeds
FEWEST = 4  # batch sizes for a line through the minima of each alone
ONE_ERROR = 0.683  # level of an interval that is one standard error to each side
APART = 2.5  # standard errors between that line's slope and the law's, above which they contradict


class Point(NamedTuple):
    """The best learning rate of a batch size by the law, with its interval."""

    batch: float
    lr: float
    low: float
    high: float


@dataclass(frozen=True)
class Law:
    """A power law, or the reason why no law is reported.

    `low` and `high` are finite whenever it is identified, and nan otherwise. The exponent is then
    nan as well: a number that the data do not support is not given.
    """

    exponent: float
    low: float
    high: float
    identified: bool
    reason: str  # why not; empty if identified
    constant: float = math.nan  # C, so that LR_opt = C batch^exponent
    optima: tuple[Point, ...] = ()
    seeds: int = 0
    seeds_agree: float = math.nan  # p-value that seeds share one optimum
    unstable: int = 0  # runs that jumped, and runs that diverged: they only bound the optimum
    over_batches: bool = False  # the interval is over batch sizes: more seeds do not narrow it
    fitted: Candidate | None = field(default=None, repr=False)  # the form that predicts
    compared: Candidates = field(default=NOT_COMPARED, repr=False)

    @property
    def form(self) -> str:
        """The form by which the law predicts; empty if not identified.

        It is the one that predicts held-out batch sizes best, or `power` if the runs do not
        distinguish it from the best one, or have few batch sizes.
        """
        return self.fitted.name if self.fitted else ""

    @property
    def turn(self) -> tuple[float, float, float]:
        """The batch size at which the best form bends, B_n, and its 95 % interval; nan for a line.

        The best form may not be distinguished from a line: `compared.tied` has the ties.
        """
        best = self.compared.fits[0] if self.compared.fits else self.fitted
        return best.turn if best else (math.nan, math.nan, math.nan)

    @property
    def between_seeds(self) -> bool:
        """Whether the interval includes the variation between seeds."""
        return self.identified and self.seeds >= SEEDS

    def contains(self, exponent: float) -> bool | None:
        """Whether a hypothesis lies inside the interval; None without an interval."""
        return self.low <= exponent <= self.high if self.identified else None

    def predict(self, table: pd.DataFrame) -> pd.DataFrame:
        """Predict the best learning rate of new curves, by the law's `form`.

        Args:
            table: a column `batch`.

        Returns:
            `lr`, and `low` and `high` of a 95 % prediction interval: where the optimum of one more
            curve of that batch size is expected, on the index of `table`.

        Raises:
            ValueError: if no law is identified.
        """
        if self.fitted is None:
            raise ValueError(f"no law to predict with: {self.reason}")
        need(table, "batch")
        logs, half = self.fitted.predict(table["batch"].to_numpy(float), LEVEL)
        columns = {"lr": logs, "low": logs - half, "high": logs + half}
        return pd.DataFrame({key: np.exp(x) for key, x in columns.items()}, index=table.index)


@overload
def learning_rate_law(rows: pd.DataFrame, *, flat: float | None = None) -> Law: ...


@overload
def learning_rate_law(
    rows: pd.DataFrame, *, flat: float | None = None, over: Sequence[str]
) -> AxesLaw: ...


def learning_rate_law(
    rows: pd.DataFrame, *, flat: float | None = None, over: Sequence[str] = ()
) -> Law | AxesLaw:
    """Fit LR_opt = C batch^beta to the losses of a sweep, or a law over several axes.

    Bowls of one shape, each with an optimum of its own, are fitted to the runs near the optima
    (`scaling.analysis.near_optimum`). The law is a meta-regression of these optima
    (`scaling.analysis.meta_regression`), in which they may scatter about it: curves, each of one
    batch size and seed, are the units, and the interval is a t interval over them. If bowls of one
    shape do not fit, lines through the minima of each batch size alone bound the interval; if they
    do, but the line through these minima contradicts the law, the interval holds that line, too.

    With three seeds or more, the interval is also at least the t interval over the slopes of the
    seeds; with fewer, variation between seeds is not included. Runs that diverged, and unstable
    ones that ended far above the others, only bound the optimum from above.

    Args:
        rows: columns `batch`, `lr`, `seed`, `val_loss` in nats and `status`, of runs that differ in
            nothing else; as `scaling.results.read` gives them.
        flat: rise of the loss in nats, within a factor of 4 in lr, below which the optima are flat
            and have no law; 0.1 % of the lowest loss, and at least 0.001, if not given.
        over: columns that are axes of the law, `batch` among them, such as
            `("batch", "parameters", "tokens")`. The result is then an `AxesLaw`
            (`scaling.analysis.axes_law`).

    Returns:
        The law with a 95 % interval, or the reason why none is identified: it takes three batch
        sizes with three learning rates each.

    Raises:
        ValueError: for an absent column, a finished run whose batch or lr is not positive and
            finite or whose seed is missing, or several clips, models, data sets, optimizers or
            protocols at once.
    """
    if over:
        return axes_law(rows, over, flat=flat)
    need(rows, "batch", "lr", "seed", "val_loss", "status")
    need_coordinates(rows)
    alike(rows, "clip", "model", "data", "optimizer", "protocol")
    return _law(rows, flat=flat)


@once_for_rows("batch", "lr", "seed", "val_loss", "status")
def _law(rows: pd.DataFrame, *, flat: float | None) -> Law:
    optima = sweep_optima(grouped(rows), flat)
    if isinstance(optima, str):
        unknown = Candidates((), (), optima)
        return Law(math.nan, math.nan, math.nan, False, optima, compared=unknown)
    losses, seeds = optima.surface.losses, rows.loc[rows["status"] == "done", "seed"].nunique()
    lines = _lines(optima)
    slope = float(np.mean([line.slope for line in lines]))
    held = [*lines, *(apart := _apart(optima, slope))]
    low, high = min(line.low for line in held), max(line.high for line in held)
    if seeds >= SEEDS:
        reach = _between_seeds(optima.curves, losses.centred, lines[0].regression.between)
        low, high = min(low, slope - reach), max(high, slope + reach)
    middle = np.mean([line.levels for line in lines], axis=0)
    lows = np.min([line.levels - line.bands for line in held], axis=0)
    highs = np.max([line.levels + line.bands for line in held], axis=0)
    batches, best, errors = optima.batches, optima.best, optima.errors
    inside = np.flatnonzero(optima.inside)
    compared = law_selection.compare(batches[inside], best[inside], errors[np.ix_(inside, inside)])
    power, _ = law_selection.fit_form("power", np.log(batches), best, errors)
    return Law(
        exponent=slope,
        low=low,
        high=high,
        identified=True,
        reason="",
        constant=math.exp(middle.mean() - slope * float(np.log(losses.batches).mean())),
        optima=tuple(map(Point, losses.batches.tolist(), *np.exp([middle, lows, highs]).tolist())),
        seeds=seeds,
        seeds_agree=surface_inference.seeds_agree(optima.surface),
        unstable=optima.unstable,
        over_batches=bool(optima.local or apart),
        fitted=power if not compared.fits or "power" in compared.tied else compared.fits[0],
        compared=compared,
    )


def candidates(rows: pd.DataFrame) -> Candidates:
    """Compare constant, power, saturating and surge laws by how they predict batch sizes left out.

    See `scaling.analysis.law_selection.compare`.

    Args:
        rows: as for `learning_rate_law`.

    Returns:
        The fits, the best first. Without a law, or with fewer than five batch sizes whose optimum
        is inside the grid, there are no fits, and `reason` says why.

    Raises:
        ValueError: as `learning_rate_law`.
    """
    return learning_rate_law(rows).compared


class _Line(NamedTuple):
    """A power law through optima, in natural logs."""

    slope: float
    low: float
    high: float
    levels: Vector  # of every batch size
    bands: Vector  # half widths of their intervals
    regression: Regression


def _lines(optima: SweepOptima) -> list[_Line]:
    """The line through the optima of curves, or those through minima of each batch size alone."""
    logs, curves, seeds = optima.surface.losses.centred, optima.curves, optima.surface.losses.seeds
    if not optima.local:
        offsets = np.eye(len(seeds))[curves.seed]
        design = np.column_stack([offsets, logs[curves.batch]])
        rows = np.column_stack([np.full((len(logs), len(seeds)), 1 / len(seeds)), logs])
        return [_line(curves.optima, curves.covariance, design, rows, LEVEL)]
    return [_through(minima, logs, LEVEL) for minima in optima.local]


def _apart(optima: SweepOptima, slope: float) -> list[_Line]:
    """The line through the minima of each batch size alone, if it contradicts the law's slope.

    Bowls whose shape changes with the batch size shift the optima by less than the noise shows at
    each learning rate, and yet tilt the law. Cubics through five learning rates do not.
    """
    logs, found = optima.surface.losses.centred, np.isfinite(optima.cubic).sum()
    if optima.local or found < max(FEWEST, len(logs) - 1):
        return []
    line = _through(optima.cubic, logs, ONE_ERROR)
    return [line] if abs(line.slope - slope) > APART * (line.high - line.slope) else []


def _through(minima: Vector, logs: Vector, level: float) -> _Line:
    """The line through the minima of batch sizes, with no errors except their scatter about it."""
    kept, rows = np.isfinite(minima), np.column_stack([np.ones_like(logs), logs])
    negligible = 1e-12 * np.eye(kept.sum())
    return _line(minima[kept], negligible, rows[kept], rows, level)


def _line(values: Vector, errors: Matrix, design: Matrix, rows: Matrix, level: float) -> _Line:
    regression = regress(values, errors, design)
    slope = float(regression.coefficients[-1])
    reach = regression.reach(np.eye(design.shape[1])[-1], level)
    bands = np.array([regression.reach(row, level) for row in rows])
    levels = rows @ regression.coefficients
    return _Line(slope, slope - reach, slope + reach, levels, bands, regression)


def _between_seeds(curves: CurveOptima, logs: Vector, between: float) -> float:
    """Half width of the t interval over the slopes of the seeds."""
    slopes, variances = [], np.diag(curves.covariance) + between
    for seed in np.unique(curves.seed):
        one = curves.seed == seed
        x, weights = logs[curves.batch[one]], 1 / variances[one]
        x = x - np.average(x, weights=weights)
        if (x != 0).any():
            slopes.append(float(weights * x @ curves.optima[one] / (weights * x @ x)))
    if len(slopes) < 2:
        return 0.0
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(slopes) - 1)
    return float(quantile * np.std(slopes, ddof=1) / math.sqrt(len(slopes)))
