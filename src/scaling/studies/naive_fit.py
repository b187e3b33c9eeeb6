"""Plain fits of the best lr, for comparison with the law."""

import math

import numpy as np
import pandas as pd

from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.plain_fit import PlainFit, plain_fit


def best_tried(rows: pd.DataFrame) -> dict[float, float]:
    """The lr of the lowest mean loss by batch size; for a table of optima, its lr."""
    if rows.groupby("batch")["lr"].nunique().max() == 1:
        return {float(b): float(lr) for b, lr in zip(rows["batch"], rows["lr"], strict=True)}
    return {one.batch: one.argmin for one in naive_optima(rows)}


def line(best: dict[float, float]) -> PlainFit | None:
    """The least-squares line through some optima; None for fewer than three."""
    if len(best) < 3:
        return None
    return plain_fit(np.array(list(best)), np.array(list(best.values())))


def words(rows: pd.DataFrame) -> str:
    """Describe the line, how many optima are at an end of the grid, and the line without them.

    A table of optima has no known grid, so its second line leaves out the batch size that moves it
    most. Fewer than three batch sizes give the range of the best lr by the plain methods.
    """
    best = best_tried(rows)
    fit = line(best)
    if fit is None:
        return _range(rows)
    if math.isnan(fit.r_squared):
        return f" [the best lr tried is {fit.constant:.3g} at every batch size]"
    shown = f"a plain fit of the {fit.count} best lr tried: {_shown(fit)}, R^2 {fit.r_squared:.2f}"
    if rows.groupby("batch")["lr"].nunique().max() == 1:
        return f" [{shown}{_without_one(best, fit)}]"
    ends = rows["lr"].min(), rows["lr"].max()
    inside = {batch: lr for batch, lr in best.items() if lr not in ends}
    if len(inside) == len(best):
        return f" [{shown}]"
    rest = line(inside)
    without = f", without them {_shown(rest)}" if rest and not math.isnan(rest.r_squared) else ""
    return f" [{shown}; {len(best) - len(inside)} of them at an end of the grid{without}]"


def _shown(fit: PlainFit) -> str:
    exponent = round(fit.exponent, 2) + 0.0  # turns -0 into 0
    return f"{exponent:.2f} +- {fit.high - fit.exponent:.2f}"


def _without_one(best: dict[float, float], fit: PlainFit) -> str:
    """The line without the optimum that moves it most, and the batch sizes with the highest lr."""
    highest = max(best.values())
    largest = [f"{batch:g}" for batch, lr in best.items() if lr == highest]
    equal = f"; batch {', '.join(largest)} have the highest lr" if len(largest) > 1 else ""
    left = {
        batch: line({b: lr for b, lr in best.items() if b != batch})
        for batch in best
        if len(best) > 3
    }
    moved = {batch: abs(one.exponent - fit.exponent) for batch, one in left.items() if one}
    if not moved:
        return equal
    most = max(moved, key=lambda batch: moved[batch])
    rest = left[most]
    assert rest is not None
    return f"{equal}; without batch {most:g} {_shown(rest)}"


def _range(rows: pd.DataFrame) -> str:
    """The range of best lrs by plain methods, for too few batch sizes to draw a line."""
    lrs = [
        lr
        for one in naive_optima(rows)
        for lr in (one.argmin, one.three, one.whole)
        if not math.isnan(lr)
    ]
    if not lrs or min(lrs) == max(lrs):
        return ""
    return (
        f" [plain analyses put it between {min(lrs):.2g} and {max(lrs):.2g}, depending on the "
        f"shape assumed; batch sizes: {rows['batch'].nunique()}, too few for an interval]"
    )
