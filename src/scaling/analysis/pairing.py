"""Pairs of runs of a sweep that differ in one setting only, for every replicate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.replicates import listed, outcomes, settings_table
from scaling.contracts.words import counted

VALUE = "value of the measure"  # a column name that no setting has


@dataclass(frozen=True)
class Pairing:
    """Values at each level of a key; arrays run over replicates, cells and levels."""

    key: str
    levels: list[object]
    shared: list[str]  # columns that are equal within a pair
    cells: pd.DataFrame  # shared columns of each cell
    values: NDArray[np.float64]  # nan if a run diverged or is missing
    ran: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, runs: pd.DataFrame, measure: str, key: str, shared: Sequence[str], replicate: str
    ) -> "Pairing":
        """Arrange the values of runs in arrays; runs of the same place are averaged.

        Args:
            runs: at least one, each with a value of `key` and `replicate`.
            measure: column of values, nan for a run that diverged.
            key: column whose levels are compared.
            shared: columns that are equal within a pair.
            replicate: column that distinguishes independent runs, such as the seed.
        """
        levels = sorted(runs[key].unique().tolist(), key=lambda v: (isinstance(v, str), v))
        # a column of zeros, because `shared` may be empty
        cell = runs.groupby([*shared, np.zeros(len(runs))], dropna=False, sort=False).ngroup()
        number, replicates = pd.factorize(runs[replicate])
        place = (number, cell.to_numpy(), runs[key].map(levels.index).to_numpy(np.int64))
        shape = (len(replicates), int(cell.max()) + 1, len(levels))
        count, total = np.zeros(shape), np.zeros(shape)
        np.add.at(count, place, 1)
        np.add.at(total, place, runs[measure].to_numpy(float))
        repeated = int((count > 1).sum())
        times = counted(repeated, "time")
        return cls(
            key, levels, list(shared), runs.assign(cell=cell).drop_duplicates("cell")[list(shared)],
            total / np.where(count > 0, count, np.nan), count > 0,
            (f"runs of one cell and {replicate} are averaged, {times}",) * (repeated > 0),
        )  # fmt: skip


def pairing(rows: pd.DataFrame, key: str, measure: str) -> Pairing:
    """Pair the runs that share every setting except `key`, for each seed.

    Args:
        rows: as `scaling.results.read` gives them.
        key: a setting that varies, such as clip.
        measure: column of numbers.

    Raises:
        ValueError: for a missing column, or a key that is not a setting or does not vary.
    """
    values, diverged = outcomes(rows, measure)
    if "seed" not in rows:
        raise ValueError("rows must have a column seed, the unit of replication")
    table = settings_table(rows)
    ended = table[(np.isfinite(values) | diverged) & table["seed"].notna()]
    varies = [k for k in map(str, ended) if k != "seed" and ended[k].nunique(dropna=False) > 1]
    choices = [k for k in varies if ended[k].nunique() > 1]
    if key not in choices:
        raise ValueError(
            f"key={key} must be a setting that varies among the runs that ended, and not the seed; "
            f"what varies: {listed(choices) or 'nothing'}"
        )
    compared = ended[ended[key].notna()]
    others = [k for k in varies if k != key and compared[k].nunique(dropna=False) > 1]
    follow = [k for k in others if compared.groupby(key)[k].nunique(dropna=False).max() == 1]
    # A setting of the key's option, such as an optimizer's momentum, is part of its level.
    shared = [k for k in others if k not in follow or not k.startswith(f"{key}.")]
    runs = compared.assign(**{VALUE: values[compared.index]})
    pairs = Pairing.of(runs, VALUE, key, shared, "seed")
    left_out = len(rows) - len(compared)
    absent = counted(left_out, "run is", "runs are")
    notes = {
        f"{absent} left out: not ended, or without {measure} or {key}": left_out,
        f"confounded with {key}: {listed(follow)}": len(follow),
    }
    return replace(pairs, notes=(*(note for note in notes if notes[note]), *pairs.notes))
