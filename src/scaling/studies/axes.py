"""How does the best learning rate move with several axes at once? Asked with `--over`."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from scaling.analysis.axes_law import AxesLaw, Exponent
from scaling.analysis.intervals import LEVEL
from scaling.analysis.powerlaws import learning_rate_law
from scaling.contracts.metric import metric_of
from scaling.contracts.settings import by_setting, without_axes
from scaling.contracts.words import counted
from scaling.studies.axes_figures import predicted_lr
from scaling.studies.claims import Verdict
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, stacked, where

ORDER = -1


def applies(sweep: SweepTables) -> bool:
    """Whether axes were chosen."""
    return bool(sweep.over)


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The law, its predictions of grids that were left out, and the grids that are not in it."""
    unit = metric_of(sweep.rows).unit
    for title, law, seeds in _laws(sweep):
        over = f"{', '.join(law.axes[:-1])} and {law.axes[-1]}{where(title)}"
        if not law.identified:
            yield f"LR_opt over {over}: inconclusive; {law.reason}"
        else:
            yield (
                f"LR_opt over {over}: {_formula(law)} ({law.grids} grids, {law.curves} curves; "
                "95 % intervals)"
            )
            if len(held := law.held_out):
                yield f"Predicted from the other grids, the best lr {_lost(held, law.axes, unit)}"
                if held["best_lr"].notna().any():
                    yield _inside(held)
            if len(law.tied) > 1:
                yield f"The {law.form} law cannot be distinguished from {' or '.join(law.tied[1:])}"
            if seeds < 3:
                yield f"Variation between seeds is not included in this law (seeds: {seeds})"
        for grid, why in law.left_out.items():
            yield f"{grid} is not in the law{where(title)}: {why}"


def _formula(law: AxesLaw) -> str:
    """The law as a formula, with its values at the middle of the axes."""
    middle = {axis: [math.exp(x)] for axis, x in zip(law.axes, law.centre, strict=True)}
    table = pd.DataFrame(middle)
    at = ", ".join(f"{axis}={value[0]:.3g}" for axis, value in middle.items() if axis != "batch")
    powers = _powers(law.exponents)
    (lr,) = law.predict(table).itertuples()
    if not law.turn_exponents:
        where = f"{at}, batch={middle['batch'][0]:.3g}"
        return f"lr ~ {powers}; {lr.lr:.3g} ({lr.low:.3g} to {lr.high:.3g}) at {where}"
    (turn,) = law.turn(table).itertuples()
    shape = {"saturating": "1 / (1 + B_n / batch)"}.get(
        law.form, "2 / (sqrt(B_n / batch) + sqrt(batch / B_n))"
    )
    best = f"{lr.lr:.3g} ({lr.low:.3g} to {lr.high:.3g})"
    return (
        f"lr = LR_max {shape} with LR_max ~ {powers} and B_n ~ {_powers(law.turn_exponents)}; at "
        f"{at}, B_n is {turn.batch:.3g} ({turn.low:.3g} to {turn.high:.3g}), and the best lr of "
        f"batch {middle['batch'][0]:.3g} is predicted as {best}"
    )


def _powers(exponents: Mapping[str, Exponent]) -> str:
    return " ".join(
        f"{axis}^{it.value:.2f} ({it.low:.2f} to {it.high:.2f})" for axis, it in exponents.items()
    )


def _lost(held: pd.DataFrame, axes: tuple[str, ...], unit: str) -> str:
    """The mean loss lost by predictions, with t intervals over grids."""
    parts = []
    for key, what in (
        ("loss_lost", "on the curve through its runs (an overestimate)"),
        ("loss_lost_cubic", "on cubics through the runs near the best"),
    ):
        means = held.groupby(list(axes[1:]))[key].mean().dropna()
        if len(means) > 1:
            reach = stats.t.ppf((1 + LEVEL) / 2, len(means) - 1) * means.sem()
            mean = means.mean()
            parts.append(f"{mean:.2g}{unit} ({mean - reach:.2g} to {mean + reach:.2g}) {what}")
    return f"loses {', '.join(parts)}"


def _inside(held: pd.DataFrame) -> str:
    known = held[held["best_lr"].notna()]
    error = np.abs(np.log(known["lr"] / known["best_lr"]))
    half = pd.Series(np.log(known["high"] / known["low"]) / 2)
    inside = int((error <= np.hypot(half, known["best_lr_error"])).sum())
    text = (
        f"{inside} of {len(known)} best lr are inside their 95 % prediction interval, allowing for "
        f"their own error; it is a factor of {math.exp(2 * half.median()):.1f} wide"
    )
    rest = len(held) - len(known)
    more = counted(rest, "more has no minimum", "more have no minimum")
    return f"{text}; {more} inside their grid" if rest else text


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """No claims."""
    yield from ()


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`exponents` of the law and of its turn, and `held_out`, a line per curve."""
    lines = [
        {"setting": title, "of": of, "axis": axis, **estimate._asdict()}
        for title, law, _ in _laws(sweep)
        for of, exponents in (("lr", law.exponents), ("turn", law.turn_exponents))
        for axis, estimate in exponents.items()
    ]
    found = {"exponents": pd.DataFrame(lines), "held_out": _held_out(sweep)}
    return {name: table for name, table in found.items() if len(table)}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """Predicted against best learning rates of the grids that were left out."""
    held = _held_out(sweep)
    known = len(held) and held["best_lr"].notna().any()
    return drawings([predicted_lr], held) if known else {}


@lru_cache(maxsize=2)
def _laws(sweep: SweepTables) -> list[tuple[str, AxesLaw, int]]:
    """The title of each setting other than the axes, its law and its number of seeds."""
    rows = without_axes(sweep.rows)
    together = [axis for axis in sweep.over if axis in rows]
    return [
        (title, learning_rate_law(block, flat=sweep.flat, over=sweep.over), block["seed"].nunique())
        for title, block in by_setting(rows, together=together)
    ]


def _held_out(sweep: SweepTables) -> pd.DataFrame:
    return stacked((title, law.held_out) for title, law, _ in _laws(sweep))
