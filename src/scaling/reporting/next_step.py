"""The one command to run next, from what a sweep leaves open."""

import math
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.powerlaws import SEEDS, Law
from scaling.contracts.words import counted, typed
from scaling.reporting.answer import NextStep, Setting
from scaling.storage import plans
from scaling.studies import law_words, laws

AFFORDABLE = 4  # times as many seeds; beyond that, a wider range of batch sizes costs less
POINTS = 5  # learning rates around a prediction, as far apart as those of the sweep


class Command(NamedTuple):
    """The command of a sweep, to be changed.

    `whole` is false if several commands trained the runs; batch sizes, learning rates and seeds are
    then written out.
    """

    text: str = ""  # empty if it is not known
    whole: bool = True


UNKNOWN = Command()


def next_step(
    rows: pd.DataFrame,
    settings: Sequence[Setting],
    lacking: Sequence[plans.Lack],
    command: Command = UNKNOWN,
) -> NextStep:
    """Choose the next step: missing cells, a wider grid, more seeds, or a test of the prediction.

    Args:
        rows: of the sweep.
        settings: from `scaling.reporting.answer.settings_of`; none if the question is another one.
        lacking: commands with cells left to train.
        command: of the sweep.
    """
    if lacking:
        first = lacking[0]
        of = counted(first.total, "cell")
        if first.owner:
            why = f"{first.cells} of {of} are still being trained by {first.owner}"
            return NextStep(why)
        why = f"{first.cells} of {of} not done; the same command trains what is missing"
        return NextStep(why, first.command)
    if not (rows["status"] == "done").any():
        return _nothing_done(rows)
    return _Choice(rows, settings, command).step()


def _nothing_done(rows: pd.DataFrame) -> NextStep:
    if (rows["status"] == "diverged").any():
        lowest = typed(float(rows["lr"].min()))
        return NextStep(f"every finished run diverged: try learning rates below {lowest}")
    errors = rows["error"].dropna() if "error" in rows else pd.Series(dtype=str)
    first = f": {str(errors.iloc[0]).splitlines()[0]}" if len(errors) and errors.iloc[0] else ""
    return NextStep(f"no run finished{first}")


class _Choice:
    """The step of a sweep with finished runs."""

    def __init__(self, rows: pd.DataFrame, settings: Sequence[Setting], command: Command) -> None:
        self.rows, self.settings, self.command = rows, settings, command
        self.seeds = sorted({int(seed) for seed in rows["seed"].dropna()})

    def step(self) -> NextStep:
        if not self.settings:
            return self._three_seeds() or NextStep("")
        return self._beyond() or self._three_seeds() or self._law()

    def _three_seeds(self) -> NextStep | None:
        if len(self.seeds) >= SEEDS:
            return None
        return self._more_seeds(SEEDS, "would show the variation between seeds")

    def _beyond(self) -> NextStep | None:
        """Learning rates beyond an end of a grid, for the batch sizes whose lowest loss is there.

        Only batch sizes that were tried with the same learning rates are treated together.
        """
        ends: defaultdict[tuple[bool, tuple[float, ...]], list[float]] = defaultdict(list)
        for setting in self.settings:
            for one in setting.optima:
                lrs = _lrs(setting.rows[setting.rows["batch"] == one.batch])
                high = one.status == "high_edge"
                if (high or one.status == "low_edge") and one.lr == lrs[-1 if high else 0]:
                    ends[high, tuple(lrs)].append(one.batch)
        if not ends:
            return None
        (high, grid), found = max(ends.items(), key=lambda end: len(end[1]))
        ratio, batches = _ratio(np.array(grid)), sorted(set(found))
        beyond = (ratio, ratio**2) if high else (ratio**-2, ratio**-1)
        more = [grid[-1 if high else 0] * factor for factor in beyond]
        end = "above" if high else "below"
        why = f"the best lr of batch {_listed(batches)} may lie {end} the grid: try {_listed(more)}"
        return self._changed(why, batch=batches, lr=more)

    def _law(self) -> NextStep:
        """Runs that a law needs, or that narrow its interval, else a test of its prediction."""
        asked = [(one, one.law) for one in self.settings if one.law is not None]
        if not asked:
            return NextStep("")
        known = [(one, law) for one, law in asked if law.identified]
        if not known:
            return self._towards_a_law([one for one, _ in asked])
        widest, law = max(known, key=lambda pair: pair[1].high - pair[1].low)
        needed = laws.seeds_needed(law)
        if len(self.seeds) < needed <= AFFORDABLE * len(self.seeds):
            why = f"would give the exponent to +- {laws.PRECISE:g}"
            return self._more_seeds(int(needed), why)
        if needed > len(self.seeds):
            why = "a wider range of batch sizes would test the law and narrow its interval"
            why += "; more seeds would not" if law.over_batches else ""
            return self._around(why, law, widest, [2 * widest.widest, 4 * widest.widest])
        batch = 2 * widest.widest
        why = f"test the law where it was not fitted, at batch {typed(batch)}"
        return self._around(why, law, widest, [batch])

    def _towards_a_law(self, settings: Sequence[Setting]) -> NextStep:
        optima = [one for setting in settings for one in setting.optima]
        if all(one.status == "flat" for one in optima):
            return NextStep("")  # no lr is best
        tried = pd.concat([setting.rows for setting in settings])
        if tried.groupby("batch")["lr"].nunique().max() < 3:
            return NextStep("a best lr needs at least three learning rates at each batch size")
        batches = sorted({one.batch for one in optima})
        if len(batches) < 3:
            more = [2 * batches[-1], 4 * batches[-1]]
            return self._changed(f"a law needs 3 batch sizes: try {_listed(more)}", batch=more)
        return self._more_seeds(2 * len(self.seeds), "may be enough for a law")

    def _around(self, why: str, law: Law, setting: Setting, batches: Sequence[float]) -> NextStep:
        """Runs of further batch sizes around the learning rates that the law predicts."""
        lrs = [law_words.predicted(law, batch)[0] for batch in batches]
        middle = math.exp(np.mean(np.log(lrs)))
        tries = middle * _ratio(_lrs(setting.rows)) ** (np.arange(POINTS) - POINTS // 2)
        return self._changed(why, batch=batches, lr=tries)

    def _more_seeds(self, needed: int, why: str) -> NextStep:
        first = self.seeds[-1] + 1 if self.seeds else 0
        new = range(first, first + max(1, needed - len(self.seeds)))
        return self._changed(f"{counted(len(new), 'more seed')} {why}", seed=new)

    def _changed(self, why: str, **given: Iterable[float]) -> NextStep:
        """The command with some keys replaced; without one, the step is in words."""
        if not self.command.text:
            return NextStep(why)
        values = {key: list(value) for key, value in given.items()}
        if not self.command.whole:
            all_values = {
                k: sorted(self.rows[k].dropna().unique()) for k in ("batch", "lr", "seed")
            }
            values = all_values | values
        words = shlex.split(self.command.text)
        kept = [word for word in words if word.partition("=")[0] not in values]
        new = [
            f"{key}={','.join(typed(float(one)) for one in value)}" for key, value in values.items()
        ]
        return NextStep(why, shlex.join([*kept, *new]))


def _lrs(rows: pd.DataFrame) -> NDArray[np.float64]:
    return np.unique(rows["lr"].dropna().to_numpy(float))


def _ratio(lrs: NDArray[np.float64]) -> float:
    """The factor between neighbours in a grid of learning rates."""
    return float(np.median(lrs[1:] / lrs[:-1])) if len(lrs) > 1 else 3.0


def _listed(values: Iterable[float]) -> str:
    return ", ".join(typed(float(value)) for value in values)
