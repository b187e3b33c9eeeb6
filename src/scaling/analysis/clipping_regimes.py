"""The clipping regime of each cell of a sweep: free, transition or saturated.

Under SGD, clipping every step keeps only the gradient's direction: this is normalised SGD, whose
steps have length lr x clip. Under Adam a constant factor on the gradient cancels (down to its eps),
so clip / norm is not a learning rate: the effect of clipping depends on how the coefficient
min(1, clip / norm) varies and drifts within the optimizer's memory, 1 / (1 - beta2) steps. Laws are
fitted within a regime; across regimes they would mix algorithms.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.intervals import UNKNOWN, slopes, t_interval
from scaling.contracts.columns import need
from scaling.contracts.words import counted

UNNAMED = "unknown optimizer"
FREE, SATURATED = 1.0, 99.0  # percent of clipped steps: free below 1, saturated from 99 on
CELL = ["optimizer", "batch", "lr", "clip"]
STEPS = ["study", "run", "step", "skipped", "clipped", "clip_coefficient", "update_norm"]
MEASURED = ["clip_percent", "clip_coefficient_cv", "drift", "drift_by_chance", "update_norm"]


@dataclass(frozen=True)
class Regime:
    """A cell, with unweighted means over its seeds; nan if not measured."""

    optimizer: str
    batch: int
    lr: float
    clip: float
    seeds: int
    regime: Literal["free", "transition", "saturated", "unknown"]
    clip_percent: float
    clip_coefficient_cv: float  # standard deviation of the coefficient over its mean
    drift: float  # of the coefficient, as `drift` gives it
    drift_by_chance: float
    update_norm: float  # mean over steps
    window: int  # steps

    @property
    def cell(self) -> tuple[str, int, float, float]:
        """Optimizer, batch, lr and clip."""
        return self.optimizer, self.batch, self.lr, self.clip


@dataclass(frozen=True)
class Response:
    """The log-log slope of the mean update norm against the clip, if all steps are clipped.

    1 if the clip acts as a learning rate, as in SGD without momentum; 0 if it has no effect. Low
    and high are a t interval over seeds. All three are nan unless identified.
    """

    optimizer: str
    batch: int
    lr: float
    slope: float
    low: float
    high: float
    identified: bool
    reason: str  # why not; empty if identified


def clip_regimes(
    rows: pd.DataFrame, steps: pd.DataFrame | None = None, *, beta2: float = 0.95
) -> tuple[Regime, ...]:
    """Classify each cell (optimizer, batch, lr, clip) of a sweep by its clipping regime.

    A cell is `free` without a clip or if less than 1 % of the steps were clipped, `saturated` from
    99 % on, `transition` between, and `unknown` if no run measured it. Steps that fp16 skipped do
    not count. A cell without a finished run is judged by its diverged ones, up to where they
    diverged. The drift of the clip coefficient is defined in `drift`.

    Args:
        rows: as `scaling.results.read` gives them, of runs that differ only in cell and seed;
            damaged rows are ignored.
        steps: as `scaling.results.steps` gives them; without them drift is nan.
        beta2: of Adam. Its memory is the window of the drift.

    Raises:
        ValueError: for an absent column, or a beta2 outside [0, 1).
    """
    if not 0 <= beta2 < 1:
        raise ValueError(f"beta2={beta2} must be at least 0 and less than 1, such as 0.95")
    window = round(1 / (1 - beta2))
    table = _table(rows).assign(drift=math.nan, drift_by_chance=math.nan)
    if steps is not None:
        table[MEASURED] = _from_steps(table, steps, window).combine_first(table[MEASURED])
    number = table.groupby("cell").ngroup()
    done = table["status"] == "done"
    judged = done | (~done.groupby(number).transform("any") & (table["status"] == "diverged"))
    seeds = table[judged].groupby([number[judged], "seed"], dropna=False)[MEASURED].mean()
    cells = seeds.groupby(level=0)
    counts, means = cells.size(), cells.mean()
    means = means.where(cells.count().eq(counts, axis=0))  # not measured for a seed: not known
    every = range(table["cell"].nunique())
    lines = zip(
        sorted(table["cell"].unique()),
        counts.reindex(every, fill_value=0),
        means.reindex(every).itertuples(index=False),
        strict=True,
    )
    return tuple(_regime(cell, count, line, window) for cell, count, line in lines)


def drift(coefficient: NDArray[np.float64], window: int) -> tuple[float, float]:
    """Drift of a positive series within a window, and the drift expected by chance.

    The drift is the mean absolute log ratio of means over consecutive windows: rate x window for an
    exponential decay, 0 for a constant. Noise moves the means as well: the drift by chance is that
    of independent log-normal steps that differ as much from their neighbours. It is too large if
    few steps are clipped. Both are nan for fewer than two windows.
    """
    count = len(coefficient) // window
    if count < 2:
        return math.nan, math.nan
    means = coefficient[: count * window].reshape(count, window).mean(axis=1)
    variance = np.square(np.diff(np.log(coefficient))).mean() / 2  # untouched by a slow drift
    spread = np.sqrt(np.log1p(np.expm1(variance) / window))  # of a mean's log (Fenton, 1960)
    return float(np.abs(np.diff(np.log(means))).mean()), float(2 / math.sqrt(math.pi) * spread)


def explain(regime: Regime) -> str:
    """Describe the regime of a cell in a sentence, with its numbers."""
    name, kind = regime.optimizer, regime.regime
    where = f"{name}, batch {regime.batch}, lr {regime.lr:g}, clip {regime.clip:g}"
    update = f"the mean update is {regime.update_norm:.3g}"
    if math.isnan(regime.update_norm):
        update = "the update was not measured"
    if kind == "unknown":
        return f"{where}: no finished run has measured clipping."
    if math.isinf(regime.clip):
        return f"{where}: not clipped; {update}."
    what = f"{where}: {kind}, clipped in {regime.clip_percent:.3g} % of the steps"
    if kind == "free":
        return f"{what}, almost the same as no clipping; {update}."
    if name.startswith("sgd"):
        length = f"have length lr x clip = {regime.lr * regime.clip:.3g}, whatever the gradient"
        return f"{what}: normalised SGD; without momentum, clipped steps {length}; {update}."
    rule = f"the effect of a constant factor on the gradient under {name} is not known here"
    if name.startswith("adam"):
        rule = "a constant factor on the gradient cancels, so clip / norm is not a learning rate"
    drifted = f"drifts by {regime.drift:.2g} in log per {regime.window} steps"
    drifted += f" ({regime.drift_by_chance:.2g} by chance)"
    if math.isnan(regime.drift):
        drifted = f"its drift per {regime.window} steps is not measured"
    varies = f"the coefficient varies by {100 * regime.clip_coefficient_cv:.2g} % of its mean"
    if math.isnan(regime.clip_coefficient_cv):
        varies = "how the coefficient varies is not measured"
    return f"{what}: {rule}; {varies} and {drifted}; {update}."


def update_response(rows: pd.DataFrame) -> tuple[Response, ...]:
    """Fit the mean update norm against the saturated clips, for each optimizer, batch and lr.

    One line is fitted per seed that finished at every saturated clip, with a t interval over seeds.
    """
    saturated = {one.cell for one in clip_regimes(rows) if one.regime == "saturated"}
    table = _table(rows)
    responses = []
    blocks: Any = table.groupby(table["cell"].str[:3])
    for (optimizer, batch, lr), block in blocks:
        done = block[block["cell"].isin(saturated) & (block["status"] == "done")]
        measured = done[done["update_norm"] > 0]
        clips = measured["clip"].nunique()
        slope, reason = UNKNOWN, ""
        if len(done) and measured.empty:
            reason = "the update was not measured"
        elif clips < 2:
            reason = f"{clips} saturated clips; a slope needs 2"
        else:
            wide = measured.pivot_table(index="seed", columns="clip", values="update_norm")
            wide = wide.dropna()
            if len(wide) < 3:
                seeds = counted(len(wide), "seed")
                reason = f"{seeds} at all of {clips} saturated clips; an interval needs 3"
            else:
                x = np.log(wide.columns.to_numpy(float))
                slope = t_interval(slopes(x, np.log(wide.to_numpy())))
        ends = slope.value, slope.low, slope.high
        responses.append(Response(optimizer, batch, lr, *ends, not reason, reason))
    return tuple(responses)


def within(rows: pd.DataFrame, regimes: Iterable[Regime]) -> dict[str, pd.DataFrame]:
    """Split rows by regime, so that no law is fitted across regimes by accident.

    Raises:
        ValueError: for a row whose cell is not among the regimes.
    """
    names = {one.cell: one.regime for one in regimes}
    cells = _table(rows)["cell"]
    if unclassified := set(cells) - set(names):
        raise ValueError(f"no regime for {min(unclassified)}; give the clip_regimes of these rows")
    return {str(name): rows.loc[part.index] for name, part in cells.groupby(cells.map(names))}


def _regime(
    cell: tuple[str, int, float, float], seeds: int, means: Iterable[float], window: int
) -> Regime:
    percent, cv, drifted, chance, update = map(float, means)
    name: Any = "saturated" if percent >= SATURATED else "transition"
    if math.isinf(cell[-1]) or percent < FREE:
        name = "free"
    elif math.isnan(percent):
        name = "unknown"
    return Regime(*cell, int(seeds), name, percent, cv, drifted, chance, update, window)


def _from_steps(table: pd.DataFrame, steps: pd.DataFrame, window: int) -> pd.DataFrame:
    """The measures of each row computed from its run's steps; nan without steps."""
    need(steps, *STEPS)
    measured = {}
    for run, run_steps in steps.groupby(["study", "run"], observed=True):
        taken = run_steps[~run_steps["skipped"].astype(bool)].sort_values("step")
        series = taken["clip_coefficient"].to_numpy(float)
        if len(series):
            percent, cv = 100 * taken["clipped"].mean(), series.std() / series.mean()
            measured[run] = (percent, cv, *drift(series, window), taken["update_norm"].mean())
    absent = (math.nan,) * len(MEASURED)
    lines = [measured.get(run, absent) for run in zip(table["study"], table["run"], strict=True)]
    return pd.DataFrame(lines, table.index, MEASURED)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """The undamaged rows, each with its cell; a missing clip is inf."""
    need(rows, *CELL, "study", "run", "seed", "status", *MEASURED[:2], MEASURED[-1])
    readable = rows[rows["status"] != "corrupt"]
    readable = readable.assign(clip=readable["clip"].fillna(math.inf))
    keys = readable[CELL].itertuples(index=False)
    cells = [
        (str(name) if pd.notna(name) else UNNAMED, int(batch), float(lr), float(clip))
        for name, batch, lr, clip in keys
    ]
    return readable.assign(cell=pd.Series(cells, readable.index, dtype=object))
