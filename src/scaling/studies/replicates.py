"""Which runs are the same algorithm, and how far do they lie apart?"""

import math
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd

from scaling.analysis import replicates
from scaling.studies.claims import Verdict
from scaling.studies.sweep_tables import Evidence

SHOWN = 3  # groups that are named, those that differ most


def applies(evidence: Evidence) -> bool:
    """Whether a sweep has replicates."""
    return bool(replicates.replicates(evidence.rows).groups)


def sentences(evidence: Evidence) -> Iterator[str]:
    """The groups that lie farthest apart, and how far single runs of one algorithm may."""
    found = replicates.replicates(evidence.rows)
    apart = [group for group in found.groups if group.spread > 0]
    same = len(found.groups) - len(apart)
    if same:
        yield f"Replicates: {same} groups of runs that are one algorithm agree to the last digit"
    for group in sorted(apart, key=lambda group: -group.spread)[:SHOWN]:
        losses = " and ".join(f"{loss:.4f}" for loss in group.losses)
        yield f"Replicates: {group.description}: {losses}, {group.spread:.4f} apart, which is noise"
    if not math.isnan(found.noise.sd):
        yield (
            f"Two single runs of one algorithm lie up to {found.noise.reach:.3f} nats apart (95 %, "
            f"by {found.noise.freedom} degrees of freedom): a smaller difference between two runs "
            "is no effect"
        )


def tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """`replicates`: a line for each group of runs that are one algorithm."""
    groups = replicates.replicates(evidence.rows).groups
    lines = [
        asdict(group) | {"losses": ", ".join(f"{loss:.7g}" for loss in group.losses)}
        for group in groups
    ]
    return {"replicates": pd.DataFrame(lines).drop(columns="rows")}


def verdicts(evidence: Evidence) -> Iterator[tuple[str, Verdict]]:
    """None: that runs of one algorithm are alike is no claim of the field."""
    yield from ()
