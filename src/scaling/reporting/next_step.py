"""The one command to run next, from what a sweep leaves open."""

import math
import shlex
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.optima import Optimum
from scaling.contracts.words import counted
from scaling.reporting.answer import NextStep, Setting
from scaling.storage import plans
from scaling.studies import law_words

SEEDS = 3  # from which variation between seeds is known
NARROW = 0.3  # width of an exponent's interval that needs no more runs
AFFORDABLE = 4  # times as many seeds; beyond that, a wider range of batch sizes costs less
POINTS = 5  # learning rates around a prediction, as far apart as those of the sweep


def next_step(
    rows: pd.DataFrame,
    settings: Sequence[Setting],
    lacking: Sequence[plans.Lack],
    command: str = "",
) -> NextStep:
    """Choose the next step: missing cells, a wider grid, more seeds, or a test of the prediction.

    Args:
        rows: of the sweep.
        settings: from `scaling.reporting.answer.settings_of`.
        lacking: commands with cells left to train.
        command: the sweep's command, to be changed; empty if it is not known.
    """
    if lacking:
        first = lacking[0]
        of = counted(first.total, "cell")
        why = f"{first.cells} of {of} not done; the same command trains what is missing"
        return NextStep(why, first.command)
    if not (rows["status"] == "done").any():
        return _nothing_done(rows)
    seeds = sorted({int(seed) for seed in rows["seed"].dropna()})
    if settings:
        return _beyond(settings, command) or _about(settings, seeds, command)
    if len(seeds) < SEEDS:
        return _more_seeds("one seed" if len(seeds) < 2 else "two seeds", seeds, SEEDS, command)
    return NextStep("")


def _nothing_done(rows: pd.DataFrame) -> NextStep:
    if (rows["status"] == "diverged").any():
        return NextStep(
            f"every finished run diverged: try learning rates below {rows['lr'].min():g}"
        )
    errors = rows["error"].dropna() if "error" in rows else pd.Series(dtype=str)
    first = f": {str(errors.iloc[0]).splitlines()[0]}" if len(errors) and errors.iloc[0] else ""
    return NextStep(f"no run finished{first}")


def _beyond(settings: Sequence[Setting], command: str) -> NextStep | None:
    """Learning rates beyond the ends of the grid, for the batch sizes whose best is there."""
    edges = [
        (one.batch, one.status)
        for setting in settings
        for one in setting.optima
        if one.status in ("low_edge", "high_edge") and _best_is_last(setting, one)
    ]
    if not edges:
        return None
    lrs, ratio = _lrs(settings), _ratio(settings)
    wanted: list[float] = []
    if any(status == "low_edge" for _, status in edges):
        wanted += [lrs[0] / ratio**2, lrs[0] / ratio]
    if any(status == "high_edge" for _, status in edges):
        wanted += [lrs[-1] * ratio, lrs[-1] * ratio**2]
    batches = sorted({batch for batch, _ in edges})
    ends = " and ".join(
        {"low_edge": "below", "high_edge": "above"}[status]
        for status in sorted({s for _, s in edges})
    )
    given = {"batch": _joined(batches), "lr": _joined(wanted)}
    why = f"the best lr of batch {_spaced(batches)} may lie {ends} the grid: try {_spaced(wanted)}"
    return NextStep(why, _changed(command, given))


def _lrs(settings: Sequence[Setting]) -> NDArray[np.float64]:
    return np.unique(pd.concat([setting.rows["lr"].dropna() for setting in settings]).to_numpy())


def _ratio(settings: Sequence[Setting]) -> float:
    """The factor between neighbours in the grid of learning rates."""
    lrs = _lrs(settings)
    return float(np.median(lrs[1:] / lrs[:-1])) if len(lrs) > 1 else 3.0


def _best_is_last(setting: Setting, one: Optimum) -> bool:
    """Whether the lowest loss is at the end of the grid, and not only within the noise of it."""
    lrs = setting.rows.loc[setting.rows["batch"] == one.batch, "lr"]
    return bool(one.lr == (lrs.max() if one.status == "high_edge" else lrs.min()))


def _about(settings: Sequence[Setting], seeds: Sequence[int], command: str) -> NextStep:
    """More seeds or batch sizes where the law is not known well, else a test of its prediction."""
    if len(seeds) < SEEDS:
        return _more_seeds("variation between seeds is not known", seeds, SEEDS, command)
    laws = [setting for setting in settings if setting.law is not None]
    if not laws:
        return NextStep("")
    known = [one for one in laws if one.law and one.law.identified]
    if not known:
        located = max(sum(o.status == "interior" for o in one.optima) for one in laws)
        if located < 3:
            batches = sorted({o.batch for one in laws for o in one.optima})
            more = [batches[-1] * 2, batches[-1] * 4]
            why = f"a law needs 3 batch sizes with a best lr inside the grid: try {_spaced(more)}"
            return NextStep(why, _changed(command, {"batch": _joined(more)}))
        return _more_seeds("the noise hides the law", seeds, 2 * len(seeds), command)
    widest = max(known, key=lambda one: one.law.high - one.law.low if one.law else 0)
    assert widest.law is not None
    width = widest.law.high - widest.law.low
    if width > NARROW:
        needed = math.ceil(len(seeds) * (width / NARROW) ** 2)  # errors fall as 1 / sqrt(runs)
        if needed <= AFFORDABLE * len(seeds):
            why = f"an exponent within {NARROW / 2:g} of its estimate"
            return _more_seeds(why, seeds, needed, command)
        more = [2 * widest.widest, 4 * widest.widest]
        why = f"the interval is wide, and larger batches narrow it most: try {_spaced(more)}"
        return NextStep(why, _changed(command, {"batch": _joined(more)}))
    batch = 2 * widest.widest
    lr = law_words.predicted(widest.law, batch)[0]
    tries = lr * _ratio(laws) ** (np.arange(POINTS) - POINTS // 2)
    given = {"batch": f"{batch:g}", "lr": _joined(tries)}
    return NextStep(
        f"test the law where it was not fitted, at batch {batch:g}", _changed(command, given)
    )


def _more_seeds(why: str, seeds: Sequence[int], needed: int, command: str) -> NextStep:
    first = seeds[-1] + 1 if seeds else 0
    new = range(first, first + max(1, needed - len(seeds)))
    return NextStep(
        f"{why}: {len(new)} more seed{'s' if len(new) > 1 else ''}",
        _changed(command, {"seed": _joined(new)}),
    )


def _changed(command: str, given: dict[str, str]) -> str:
    """A command with some keys replaced; empty if there is none."""
    if not command:
        return ""
    words = [word for word in shlex.split(command) if word.partition("=")[0] not in given]
    return shlex.join([*words, *(f"{key}={value}" for key, value in given.items())])


def _joined(values: Iterable[float]) -> str:
    return ",".join(f"{value:.2g}" if value < 1 else f"{value:g}" for value in values)


def _spaced(values: Iterable[float]) -> str:
    return _joined(values).replace(",", ", ")
