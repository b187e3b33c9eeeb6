"""Which runs are the same algorithm, and how much do they differ?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import pandas as pd

from scaling.analysis import replicates
from scaling.contracts.metric import compared, metric_of
from scaling.contracts.words import counted
from scaling.studies.claims import Verdict
from scaling.studies.study import Drawing
from scaling.studies.sweep_tables import SweepTables

ORDER = 7
SHOWN = 3  # number of groups in sentences, those that differ most


def applies(sweep: SweepTables) -> bool:
    """Whether a sweep has replicates, or runs that look like replicates, to compare."""
    table = replicates.replicates(compared(sweep.rows))
    return bool(table.groups or table.notes)


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The groups that differ most, and how much two runs of one algorithm can differ."""
    table = replicates.replicates(compared(sweep.rows))
    apart = [group for group in table.groups if group.spread > 0]
    same = len(table.groups) - len(apart)
    if same:
        groups = "group of runs of one algorithm agrees", "groups of runs of one algorithm agree"
        yield f"Replicates: {counted(same, *groups)} to the last digit"
    for group in sorted(apart, key=lambda group: -group.spread)[:SHOWN]:
        losses = " and ".join(f"{loss:.4f}" for loss in group.losses)
        yield f"Replicates: {group.description}: {losses}, {group.spread:.4f} apart, which is noise"
    if not math.isnan(table.noise.sd):
        unit = metric_of(sweep.rows).unit
        yield (
            f"Two runs of one algorithm differ by up to {table.noise.reach:.3f}{unit} (95 %, "
            f"{counted(table.noise.freedom, 'degree', 'degrees')} of freedom): a smaller "
            "difference between two single runs is noise"
        )
    yield from (f"Replicates: {note}" for note in table.notes)


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """None: the field makes no claim about replicates."""
    yield from ()


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`replicates`: a line for each group of runs of one algorithm."""
    lines = [
        asdict(group) | {"losses": ", ".join(f"{loss:.7g}" for loss in group.losses)}
        for group in replicates.replicates(compared(sweep.rows)).groups
    ]
    return {"replicates": pd.DataFrame(lines).drop(columns="rows")} if lines else {}


def figures(sweep: SweepTables) -> Mapping[str, Drawing]:
    """None."""
    return {}
