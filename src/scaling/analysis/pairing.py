"""The runs of a sweep, set side by side: those that differ in one setting only, for every seed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.replicates import listed, outcomes, settings


@dataclass(frozen=True)
class Pairing:
    """A sweep over one key; arrays run over seeds, cells and levels."""

    key: str
    levels: list[object]
    shared: list[str]
    cells: pd.DataFrame  # shared settings of each cell
    values: NDArray[np.float64]  # nan where a run diverged or there is none
    ran: NDArray[np.bool_]
    notes: list[str]


def pairing(rows: pd.DataFrame, key: str, measure: str) -> Pairing:
    """Runs by seed, cell and level of `key`; those of one place are averaged.

    Args:
        rows: as `scaling.results.read` gives them.
        key: a setting that varies, such as clip.
        measure: column of numbers.

    Raises:
        ValueError: for a missing column, or a key that is no setting or does not vary.
    """
    values, lost = outcomes(rows, measure)
    if "seed" not in rows:
        raise ValueError("rows must have a column seed, the unit of replication")
    table = settings(rows)
    ended = table[(np.isfinite(values) | lost) & table["seed"].notna()]
    varies = [k for k in map(str, ended) if k != "seed" and ended[k].nunique(dropna=False) > 1]
    choices = [k for k in varies if ended[k].nunique() > 1]
    if key not in choices:
        raise ValueError(
            f"key={key} must be a setting that varies among the runs that ended, and not the seed; "
            f"what varies: {listed(choices) or 'nothing'}"
        )
    kept = ended[ended[key].notna()]
    others = [k for k in varies if k != key and kept[k].nunique(dropna=False) > 1]
    follow = [k for k in others if kept.groupby(key)[k].nunique(dropna=False).max() == 1]
    # What belongs to a choice, as its momentum to an optimizer, is part of the level.
    shared = [k for k in others if k not in follow or not k.startswith(f"{key}.")]
    levels = sorted(kept[key].unique().tolist(), key=lambda v: (isinstance(v, str), v))
    cell = kept.groupby([*shared, np.zeros(len(kept))], dropna=False, sort=False).ngroup()
    seed, seeds = pd.factorize(kept["seed"])
    place = (seed, cell.to_numpy(), kept[key].map(levels.index).to_numpy(np.int64))
    shape = (len(seeds), int(cell.max()) + 1, len(levels))
    count, total = np.zeros(shape), np.zeros(shape)
    np.add.at(count, place, 1)
    np.add.at(total, place, values[kept.index])  # nan where one of them diverged
    out, many = len(rows) - len(kept), int((count > 1).sum())
    said = {
        f"left out, as they did not end or lack {measure} or {key}: {out} runs": out,
        f"effects that cannot be told from that of {key}: {listed(follow)}": len(follow),
        f"averaged, as they are runs of one cell and seed: {many} times": many,
    }
    return Pairing(
        key, levels, shared, kept.assign(cell=cell).drop_duplicates("cell")[shared],
        total / np.where(count > 0, count, np.nan), count > 0, [n for n in said if said[n]],
    )  # fmt: skip
