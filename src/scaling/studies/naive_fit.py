"""What a plain analysis would have said of the best lr, to stand beside what is known."""

import math

import numpy as np
import pandas as pd

from scaling.analysis import optima, powerlaws


def best_tried(rows: pd.DataFrame) -> dict[float, float]:
    """The lr of the lowest mean loss by batch size; of a table of optima, the lr that it has."""
    if rows.groupby("batch")["lr"].nunique().max() == 1:
        return {float(b): float(lr) for b, lr in zip(rows["batch"], rows["lr"], strict=True)}
    return {vertex.batch: vertex.argmin for vertex in optima.vertices(rows)}


def line(best: dict[float, float]) -> powerlaws.PlainFit | None:
    """The least-squares line through some optima; None for fewer than three."""
    if len(best) < 3:
        return None
    return powerlaws.plain_fit(np.array(list(best)), np.array(list(best.values())))


def words(rows: pd.DataFrame) -> str:
    """The line, how many optima are at an end of the grid, and what it is without them.

    Of a table of optima the grid is not known; so it is what the line is without the batch size
    that moves it most. Fewer than three batch sizes give the range of lr that plain shapes give.
    """
    best = best_tried(rows)
    fit = line(best)
    if fit is None:
        return _range(rows)
    if math.isnan(fit.r_squared):
        return f" [the best lr tried is {fit.constant:.3g} at every batch size]"
    said = f"a plain fit of the {fit.count} best lr tried: {_shown(fit)}, R^2 {fit.r_squared:.2f}"
    if rows.groupby("batch")["lr"].nunique().max() == 1:
        return f" [{said}{_without_one(best, fit)}]"
    ends = rows["lr"].min(), rows["lr"].max()
    inside = {batch: lr for batch, lr in best.items() if lr not in ends}
    if len(inside) == len(best):
        return f" [{said}]"
    rest = line(inside)
    without = f", without them {_shown(rest)}" if rest and not math.isnan(rest.r_squared) else ""
    return f" [{said}; {len(best) - len(inside)} of them at an end of the grid{without}]"


def _shown(fit: powerlaws.PlainFit) -> str:
    exponent = round(fit.exponent, 2) + 0.0  # which makes 0 of a -0
    return f"{exponent:.2f} +- {fit.high - fit.exponent:.2f}"


def _without_one(best: dict[float, float], fit: powerlaws.PlainFit) -> str:
    """What the line is without the optimum that moves it most, and which lr stands repeatedly."""
    highest = max(best.values())
    largest = [f"{batch:g}" for batch, lr in best.items() if lr == highest]
    said = f"; batch {', '.join(largest)} have the highest lr" if len(largest) > 1 else ""
    left = {
        batch: line({b: lr for b, lr in best.items() if b != batch})
        for batch in best
        if len(best) > 3
    }
    moved = {batch: abs(one.exponent - fit.exponent) for batch, one in left.items() if one}
    if not moved:
        return said
    most = max(moved, key=lambda batch: moved[batch])
    rest = left[most]
    assert rest is not None
    return f"{said}; without batch {most:g} {_shown(rest)}"


def _range(rows: pd.DataFrame) -> str:
    """Where plain shapes put the best lr, for too few batch sizes to draw a line."""
    found = [
        lr
        for vertex in optima.vertices(rows)
        for lr in (vertex.argmin, vertex.three, vertex.whole)
        if not math.isnan(lr)
    ]
    if not found or min(found) == max(found):
        return ""
    return (
        f" [plain analyses put it between {min(found):.2g} and {max(found):.2g}, depending on the "
        f"shape assumed; batch sizes: {rows['batch'].nunique()}, which carry no interval]"
    )
