"""What clipping did in each cell of a sweep: nothing, everything, or something between.

Under SGD a gradient that is clipped at every step is a direction only: normalised SGD, whose step
is lr x clip long whatever the gradient. Under Adam a constant factor on the gradient divides out
(down to its eps), so clip / norm is no learning rate: what clipping does there depends on how the
coefficient min(1, clip / norm) varies and drifts within the optimizer's memory, 1 / (1 - beta2)
steps. Laws are fitted within a regime; across them they mix algorithms.
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

UNNAMED = "unknown optimizer"
FREE, SATURATED = 1.0, 99.0  # percent of the steps: below the one, from the other on
CELL = ["optimizer", "batch", "lr", "clip"]
STEPS = ["study", "run", "step", "skipped", "clipped", "clip_coefficient", "update_norm"]
MEASURED = ["clip_percent", "clip_coefficient_cv", "drift", "drift_by_chance", "update_norm"]


@dataclass(frozen=True)
class Regime:
    """A cell, with unweighted means over its seeds; nan is not measured."""

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
    """How the mean update norm depends on the clip where all steps are clipped: a log-log slope.

    1 if clip acts as a learning rate does, as in SGD without momentum; 0 if it does nothing. Low
    and high are a t interval over seeds. All three are nan unless it is identified.
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
    """Classify what clipping did in every cell (optimizer, batch, lr, clip) of a sweep.

    A cell is `free` without a clip or if less than 1 % of the steps were clipped, `saturated` from
    99 % on, `transition` between, and `unknown` if no run measured it. Steps that fp16 skipped do
    not count. A cell without a finished run is judged by its diverged ones, up to where they
    diverged. The drift of the clip coefficient is defined in `drift`.

    Args:
        rows: as `scaling.results.read` gives them, of runs that differ in their cell and seed only;
            damaged ones belong to no cell.
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
    blocks: Any = table.groupby("cell")
    return tuple(_regime(cell, block, window) for cell, block in blocks)


def drift(coefficient: NDArray[np.float64], window: int) -> tuple[float, float]:
    """How far a positive series drifts within a window, and how far it would by chance.

    The mean absolute log ratio of its means over consecutive windows: rate x window for an
    exponential decay, 0 for a constant. Noise moves the means as well: by chance is what
    independent log-normal steps would give that differ from their neighbours as much, which is too
    much where few steps are clipped. Both are nan for fewer than two windows.
    """
    count = len(coefficient) // window
    if count < 2:
        return math.nan, math.nan
    means = coefficient[: count * window].reshape(count, window).mean(axis=1)
    variance = np.square(np.diff(np.log(coefficient))).mean() / 2  # untouched by a slow drift
    spread = np.sqrt(np.log1p(np.expm1(variance) / window))  # of a mean's log (Fenton, 1960)
    return float(np.abs(np.diff(np.log(means))).mean()), float(2 / math.sqrt(math.pi) * spread)


def explain(regime: Regime) -> str:
    """Describe what clipping did in a cell, in a sentence with its numbers."""
    name, kind = regime.optimizer, regime.regime
    where = f"{name}, batch {regime.batch}, lr {regime.lr:g}, clip {regime.clip:g}"
    update = f"the mean update is {regime.update_norm:.3g}"
    if math.isnan(regime.update_norm):
        update = "the update was not measured"
    if kind == "unknown":
        return f"{where}: no finished run has measured what clipping did."
    if math.isinf(regime.clip):
        return f"{where}: not clipped; {update}."
    what = f"{where}: {kind}, clipped in {regime.clip_percent:.3g} % of the steps"
    if kind == "free":
        return f"{what}, all but the same as no clipping; {update}."
    if name.startswith("sgd"):
        length = f"lr x clip = {regime.lr * regime.clip:.3g} long whatever the gradient"
        whose = "its" if kind == "saturated" else "these"
        return f"{what}: normalised SGD, without momentum {whose} steps are {length}; {update}."
    rule = f"what a constant factor on the gradient does under {name} is not known here"
    if name.startswith("adam"):
        rule = "a constant factor on the gradient divides out, so clip / norm is no learning rate"
    drifted = f"drifts by {regime.drift:.2g} in log per {regime.window} steps"
    drifted += f" ({regime.drift_by_chance:.2g} by chance)"
    if math.isnan(regime.drift):
        drifted = f"its drift per {regime.window} steps is not measured"
    varies = f"the coefficient varies by {100 * regime.clip_coefficient_cv:.2g} % of its mean"
    if math.isnan(regime.clip_coefficient_cv):
        varies = "how the coefficient varies is not measured"
    return f"{what}: {rule}; {varies} and {drifted}; {update}."


def update_response(rows: pd.DataFrame) -> tuple[Response, ...]:
    """How the mean update norm depends on saturated clips, for each optimizer, batch and lr.

    The slope of a line for each seed that is done at every saturated clip, with a t interval over
    seeds.
    """
    saturated = {one.cell for one in clip_regimes(rows) if one.regime == "saturated"}
    table = _table(rows)
    responses = []
    blocks: Any = table.groupby(table["cell"].str[:3])
    for (optimizer, batch, lr), block in blocks:
        done = block[block["cell"].isin(saturated) & (block["status"] == "done")]
        measured = done[done["update_norm"] > 0]
        wide = measured.pivot_table(index="seed", columns="clip", values="update_norm").dropna()
        x = np.log(wide.columns.to_numpy(float))
        slope, reason = UNKNOWN, ""
        if len(done) and measured.empty:
            reason = "the update was not measured"
        elif len(x) < 2:
            reason = f"{len(x)} saturated clips; a slope needs 2"
        elif len(wide) < 3:
            reason = f"{len(wide)} seeds at all of {len(x)} saturated clips; an interval needs 3"
        else:
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
    if strange := set(cells) - set(names):
        raise ValueError(f"no regime for {min(strange)}; give what clip_regimes says of these rows")
    return {str(name): rows.loc[part.index] for name, part in cells.groupby(cells.map(names))}


def _regime(cell: tuple[str, int, float, float], block: pd.DataFrame, window: int) -> Regime:
    done = block[block["status"] == "done"]
    judged = done if len(done) else block[block["status"] == "diverged"]
    seeds = judged.groupby("seed", dropna=False)[MEASURED].mean()
    percent, cv, drifted, chance, update = map(float, seeds.mean(skipna=False))
    name: Any = "saturated" if percent >= SATURATED else "transition"
    if math.isinf(cell[-1]) or percent < FREE:
        name = "free"
    elif math.isnan(percent):
        name = "unknown"
    return Regime(*cell, len(seeds), name, percent, cv, drifted, chance, update, window)


def _from_steps(table: pd.DataFrame, steps: pd.DataFrame, window: int) -> pd.DataFrame:
    """What the steps of each row's run say; nan where it has none."""
    need(steps, *STEPS)
    measured = {}
    for run, run_steps in steps.groupby(["study", "run"], observed=True):
        taken = run_steps[~run_steps["skipped"].astype(bool)].sort_values("step")
        series = taken["clip_coefficient"].to_numpy(float)
        if len(series):
            percent, cv = 100 * taken["clipped"].mean(), series.std() / series.mean()
            measured[run] = (percent, cv, *drift(series, window), taken["update_norm"].mean())
    none = (math.nan,) * len(MEASURED)
    lines = [measured.get(run, none) for run in zip(table["study"], table["run"], strict=True)]
    return pd.DataFrame(lines, table.index, MEASURED)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong to a cell, and which; a missing clip is none."""
    need(rows, *CELL, "study", "run", "seed", "status", *MEASURED[:2], MEASURED[-1])
    readable = rows[rows["status"] != "corrupt"]
    readable = readable.assign(clip=readable["clip"].fillna(math.inf))
    keys = readable[CELL].itertuples(index=False)
    cells = [
        (str(name) if pd.notna(name) else UNNAMED, int(batch), float(lr), float(clip))
        for name, batch, lr, clip in keys
    ]
    return readable.assign(cell=pd.Series(cells, readable.index, dtype=object))
