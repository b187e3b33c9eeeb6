"""Limits of axes and colors that follow the bowl of the losses, and not the worst run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scaling.contracts.columns import REFERENCES

NEAR = 10.0  # factor of lr about the best within which a loss belongs to the bowl
TALL = 6.0  # height of the axis, in rises of a typical loss of the bowl
MARGIN = 0.06  # of the height, beyond the outermost loss


@dataclass(frozen=True)
class Limits:
    """Range of the values that are drawn to scale; both ends are nan without values."""

    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is any value."""
        return math.isfinite(self.low)

    def holds(self, value: float) -> bool:
        """Whether a value is drawn to scale."""
        return self.low <= value <= self.high

    def padded(self) -> tuple[float, float]:
        """The ends of a linear axis."""
        height = self.high - self.low or 0.1 * abs(self.low) or 1.0
        return self.low - MARGIN * height, self.high + MARGIN * height

    def log_padded(self) -> tuple[float, float]:
        """The ends of a logarithmic axis, at least a factor of 1.5 apart."""
        room = max((self.high / self.low) ** MARGIN, (1.5 * self.low / self.high) ** 0.5, 1.0)
        return self.low / room, self.high * room


def means(block: pd.DataFrame, column: str = "val_loss", by: str = "lr") -> pd.DataFrame:
    """Mean, minimum and maximum over the finished runs of each batch size and lr."""
    done = block[(block["status"] == "done") & block[column].notna()]
    table: pd.DataFrame = done.groupby(["batch", by])[column].agg(["mean", "min", "max"])
    return table


def bowl_limits(blocks: Iterable[pd.DataFrame], *, by: str = "lr", near: float = NEAR) -> Limits:
    """Limits of the loss, the same for all panels, that follow the bowls and not the worst runs.

    A bowl is the losses of one batch size within a factor of 10 in lr of its best, as far as they
    are below that of a uniform guess. A loss is drawn to scale if it is above the best of its batch
    size by at most 6 times the median rise in all bowls: so a typical rise takes at least a sixth
    of the height. A loss is also off the scale if it is below the median of its panel by more than
    twice the median's size and by more than 3 quartile ranges. No positive loss is, but a run of
    one step that reports -100 is.

    Args:
        blocks: runs of each panel, as `scaling.contracts.settings.by_setting` yields them.
        by: column that a line goes along.
        near: factor of this column about the best.
    """
    curves: list[tuple[pd.Series, pd.DataFrame]] = []
    rises = [np.array([])]
    for block in blocks:
        table = means(block, by=by)
        table = table[np.isfinite(table["mean"]) & (table["mean"] >= _floor(table["mean"]))]
        guess = references(block).get("uniform", math.inf)
        for _, whole in table.groupby(level="batch"):
            curve = whole.droplevel("batch")
            loss = curve["mean"]
            with np.errstate(invalid="ignore"):
                apart = np.abs(np.log(curve.index.to_numpy(float)) - math.log(loss.idxmin()))
            bowl = (~(apart > math.log(near))) & (loss < guess) & (loss > loss.min())
            curves.append((loss, curve))
            rises.append((loss - loss.min())[bowl].to_numpy())
    if not curves:
        return Limits()
    pooled = np.concatenate(rises)
    most = TALL * float(np.median(pooled)) if len(pooled) else math.inf
    low, high = [], []
    for loss, curve in curves:
        shown = curve[loss <= loss.min() + most]
        low += [loss.min(), *shown["min"][shown["min"] >= loss.min() - most]]
        high += [shown["mean"].max(), *shown["max"][shown["max"] <= loss.min() + most]]
    return Limits(float(min(low)), float(max(high)))


def _floor(losses: pd.Series) -> float:
    """The loss below which a value is treated as an error, from the losses of its panel."""
    finite = losses[np.isfinite(losses)]
    if finite.empty:
        return -math.inf
    first, middle, third = np.quantile(finite, [0.25, 0.5, 0.75])
    return float(middle - max(2 * abs(middle), 3 * (third - first)))


def log_limits(values: Iterable[float], decades: float = 1.0) -> Limits:
    """Limits of positive values on a logarithmic axis, without those far from the others.

    A value is far if it is beyond the quartiles by more than 3 times their distance, in logs, and
    by more than some decades.
    """
    known = np.array([value for value in values if 0 < value < math.inf])
    return _fenced(known, np.log10(known), decades)


def fenced_limits(values: Iterable[float]) -> Limits:
    """Limits of values without those beyond the quartiles by more than 3 times their distance."""
    known = np.array([value for value in values if math.isfinite(value)])
    return _fenced(known, known, 0.0)


def _fenced(values: np.ndarray, scaled: np.ndarray, least: float) -> Limits:
    if not len(values):
        return Limits()
    first, third = np.quantile(scaled, [0.25, 0.75])
    fence = max(3 * (third - first), least)
    inside = values[(scaled >= first - fence) & (scaled <= third + fence)]
    return Limits(float(inside.min()), float(inside.max()))


def references(block: pd.DataFrame) -> dict[str, float]:
    """Losses that need no training, by name, if all runs of the panel share them."""
    levels = {}
    for name in REFERENCES:
        values = block[f"{name}_loss"].dropna() if f"{name}_loss" in block else pd.Series()
        if values.nunique() == 1:
            levels[name] = float(values.iloc[0])
    return levels
