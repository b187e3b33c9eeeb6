"""How large is the gradient noise scale, and does the law of the learning rate bend there?"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.at_best import at_best
from scaling.contracts.settings import by_setting
from scaling.contracts.words import counted
from scaling.figures.axes import number
from scaling.gradients.noise_scale import why_unidentified
from scaling.studies import laws
from scaling.studies.claims import Verdict
from scaling.studies.noise_scale_figures import noise_scale_over_training
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where

ORDER = 8
COST = "noise_scale_percent"  # of every run that measures it
MEASURED = ("noise_scale", "noise_scale_low", "noise_scale_high")
PROBES = "noise_scale_probes"  # number of probes behind it
MOST = 3  # noise scales in a line


def applies(sweep: SweepTables) -> bool:
    """Whether the noise scale was measured at a best learning rate, identified or not."""
    return COST in sweep.rows and any(True for _ in _settings(sweep))


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The noise scale of each batch size, and whether its interval overlaps that of the turn."""
    for title, table in _settings(sweep):
        yield (
            f"Noise scale B_simple{where(title)}, at the best lr of each batch size over the last "
            f"probes of its runs: {'; '.join(_scales(table))}; it is not the critical batch size"
        )
        yield _meeting(title, table)


def headlines(sweep: SweepTables) -> list[str]:
    """The noise scale of each batch size, or its range over settings."""
    unit = _unit(sweep)
    by_title = {title: _scales(table, unit) for title, table in _settings(sweep)}
    if len(by_title) == 1:
        (scales,) = by_title.values()
        more = f"; {len(scales) - MOST} more in report.txt" if len(scales) > MOST else ""
        return [f"Noise scale B_simple: {'; '.join(scales[:MOST])}{more}"]
    table = pd.concat([table for _, table in _settings(sweep)])
    known = table["noise_scale"].dropna()
    lines = [f"  {title}: {'; '.join(scales)}" for title, scales in by_title.items()]
    where_known = f"at {len(known)} of {counted(len(table), 'batch size')} in {len(lines)} settings"
    if known.empty:
        return [f"Noise scale B_simple: identified {where_known}", *lines]
    ends = " to ".join(dict.fromkeys(number(end) for end in (known.min(), known.max())))
    return [f"Noise scale B_simple: {ends}{unit}, identified {where_known}", *lines]


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """None: no published claim is about the noise scale."""
    yield from ()


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`noise_scales`: a line for each setting and batch size."""
    parts = [table.assign(setting=title) for title, table in _settings(sweep)]
    whole = pd.concat(parts)
    return {"noise_scales": whole[["setting", *whole.columns.drop("setting")]]}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The noise scale over training, if the probes are there."""
    draws = [noise_scale_over_training] if len(sweep.probes) else []
    return drawings(draws, sweep.rows, sweep.probes)


def _settings(sweep: SweepTables) -> Iterator[tuple[str, pd.DataFrame]]:
    """A table for each setting: the noise scale of each batch size, and the turn of the law.

    Over seeds, `noise_scale` is the median, and the interval contains those of all runs. Noise
    scales depend on the learning rate, so only the best one of each batch size is taken.
    """
    turns = {one.title: one.law.turn for one in laws.by_settings(sweep)}
    for title, block in by_setting(sweep.rows):
        lines = []
        for batch, runs in at_best(block).groupby("batch"):
            runs = runs[runs[COST].notna()].reindex(columns=["lr", *MEASURED, PROBES])
            if len(runs):
                numbers = _over_seeds(*(runs[name].to_numpy(float) for name in MEASURED))
                fewest = runs[PROBES].min()
                lines.append((batch, runs["lr"].iloc[0], len(runs), *numbers, fewest))
        if lines:
            table = pd.DataFrame(lines, columns=["batch", "lr", "runs", *MEASURED, PROBES])
            turn, least, most = turns.get(title, (math.nan,) * 3)
            table = table.assign(turn=turn, turn_low=least, turn_high=most)
            meets = (table["noise_scale_low"] <= most) & (least <= table["noise_scale_high"])
            known = table["noise_scale_low"].notna() & (not math.isnan(turn))
            yield title, table.assign(meets=meets.astype(object).where(known, None))


def _over_seeds(
    scales: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, float, float]:
    """The median of identified noise scales, and the ends of an interval that contains theirs."""
    if np.isnan(low).any():
        return math.nan, math.nan, math.nan
    if np.isnan(scales).any():
        return math.nan, float(low.min()), math.inf
    return float(np.median(scales)), float(low.min()), float(high.max())


def _unit(sweep: SweepTables) -> str:
    """The unit of the noise scales, to follow a number; empty without the probes."""
    units = set(sweep.probes["unit"].dropna()) if "unit" in sweep.probes else set()
    return f" {units.pop()}" if len(units) == 1 else ""


def _scales(table: pd.DataFrame, unit: str = "") -> list[str]:
    """The noise scale of each batch size in words; batch sizes with the same words together."""
    by_words: dict[str, list[str]] = defaultdict(list)
    for line in table.to_dict("records"):
        by_words[_words(line, unit)].append(f"{line['batch']:g}")
    return [words.format(", ".join(batches)) for words, batches in by_words.items()]


def _words(line: Mapping[Hashable, Any], unit: str) -> str:
    """The noise scale of a batch size, with a place for the batch sizes that share it."""
    if math.isnan(line["noise_scale_low"]):
        probes = line[PROBES]
        why = "" if math.isnan(probes) else f" ({why_unidentified(int(probes))})"
        return f"not identified at batch {{}}{why}"
    if math.isnan(line["noise_scale"]):
        return f"at least {number(line['noise_scale_low'])}{unit} at batch {{}}"
    low, high = number(line["noise_scale_low"]), number(line["noise_scale_high"])
    return f"{number(line['noise_scale'])}{unit} ({low} to {high}) at batch {{}}"


def _meeting(title: str, table: pd.DataFrame) -> str:
    """Whether the interval of the turn overlaps those of the noise scales."""
    turn, low, high = table[["turn", "turn_low", "turn_high"]].iloc[0]
    start = f"Noise scale and learning rate{where(title)}:"
    table = table[table["noise_scale_low"].notna()]
    if table.empty:
        return f"{start} no noise scale is identified, so there is nothing to compare"
    if math.isnan(turn):
        return f"{start} no law with a turn B_n is measured, so there is nothing to compare"
    if low == 0 and high == math.inf:
        return f"{start} the turn B_n of the law has no bound, so nothing can be said"
    meets = table["meets"].astype(bool)
    ends = f"{number(low)} to {'any' if np.isinf(high) else number(high)}"
    at = ", ".join(f"{batch:g}" for batch in table.loc[meets, "batch"])
    overlaps = f"{start} the interval of the turn B_n of the law ({ends}) overlaps that of"
    if meets.all():
        return f"{overlaps} every noise scale"
    if not meets.any():
        return f"{overlaps} no noise scale"
    return f"{overlaps} the noise scale at batch {at} only"
