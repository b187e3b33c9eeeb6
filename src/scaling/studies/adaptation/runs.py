"""Measures of adaptation: a line per run, and a line per run and pass."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from scipy import stats

from scaling.contracts.settings import by_setting
from scaling.studies.sweep_tables import SweepTables

Values = NDArray[np.float64]
Course = dict[str, Values]  # a run's lines, by column

RUN = ["study", "run"]
NORMS = ("pass_grad_norm", "query_grad_norm")  # of mini-batches, mean of a pass; of the whole query
SCORED = ("accuracy", "f1", "mcc", "loss")
ENDS = (
    *(f"{split}_{score}" for split in ("query", "val", "source") for score in SCORED),
    *("query_entropy", "query_diversity", "query_confidence", "query_largest_share"),
)
COUNTED = tuple(f"{split}_{way}" for split in ("query", "val", "source") for way in ("won", "lost"))
TERMS = (
    *("grad_norm_post_clip", "gradient_cosine", "entropy_grad_norm"),
    *("diversity_grad_norm", "diversity_weight"),
)
AT_EQUAL = ("query_entropy", "query_accuracy", "val_accuracy")
MEASURED = "norm_jitter"  # a column that only `measures` adds
FOLDS = ("data.fold", "data.growth", "data.growth_passes")  # replaced by `fold` and `arm`


def adapted(rows: pd.DataFrame) -> pd.DataFrame:
    """The finished adapted runs, each with its `arm` and its `unit`.

    An arm is a batch size, or the range of one that grows, `16 to 64`, with the number of passes if
    runs differ in that: `16 to 64 in 20`. A unit is a query of a seed's population: a fold and a
    seed. A run that is in two studies counts once.
    """
    if "query_accuracy" not in rows:
        return rows.iloc[:0]
    runs = rows[(rows["status"] == "done") & rows["query_accuracy"].notna()]
    runs = runs[~runs.duplicated("digest")] if "digest" in runs else runs
    fold = _either(runs, "fold", "data.fold").fillna(0).astype(int)
    last = _either(runs, "growth", "data.growth")
    within = _either(runs, "growth_passes", "data.growth_passes")
    several = within[last.notna()].nunique() > 1
    arm = [
        f"{first:g}"
        + ("" if math.isnan(end) else f" to {end:g}")
        + (f" in {passes:g}" if several and not math.isnan(end) else "")
        for first, end, passes in zip(runs["batch"], last, within, strict=True)
    ]
    unit = [f"fold {f}, seed {s:g}" for f, s in zip(fold, runs["seed"], strict=True)]
    runs = runs.drop(columns=[key for key in FOLDS if key in runs])
    return runs.assign(fold=fold, arm=arm, unit=unit, grows=last.notna())


def _either(rows: pd.DataFrame, measured: str, key: str) -> pd.Series:
    """A measured column, else the config's setting, which has a column only if it varies."""
    missing = pd.Series(math.nan, rows.index)
    first, second = (rows.get(name, missing).astype(float) for name in (measured, key))
    return first.fillna(second)


@lru_cache(maxsize=1)  # sentences, verdicts and tables of one report share it
def passes(sweep: SweepTables) -> pd.DataFrame:
    """Evaluations of adapted runs, with the norms of the updates since the previous one.

    `passes` is the number of passes before an evaluation. `pass_grad_norm` and `pass_grad_norm_sd`
    are mean and standard deviation over mini-batches of the norm before clipping, in the pass that
    ended there; `TERMS` are means over the same mini-batches. Existing columns are not recomputed.
    """
    rows = adapted(sweep.rows)
    epochs = sweep.epochs
    if rows.empty or "passes" not in epochs:
        return pd.DataFrame()
    named = rows[[*RUN, "arm", "unit", "fold", "seed", "batch"]]
    epochs = epochs[[key for key in epochs if key in RUN or key not in named]]
    lines = epochs.astype(dict.fromkeys(RUN, "object")).merge(named, on=RUN)
    lines = lines.sort_values([*RUN, "step"]).reset_index(drop=True)
    if "pass_grad_norm" in lines or sweep.steps.empty:
        return lines
    terms = [key for key in TERMS if key in sweep.steps]
    taken = sweep.steps[~sweep.steps["skipped"].astype(bool)]
    steps = taken[[*RUN, "step", "grad_norm_pre_clip", *terms]].astype(dict.fromkeys(RUN, "object"))
    ended = _ended(lines, steps)
    if ended is None:
        return lines
    order = np.argsort(ended, kind="stable")[(ended < 0).sum() :]  # sums round as in one run alone
    updates = steps.iloc[order].groupby(ended[order])
    norms = updates["grad_norm_pre_clip"].agg(["mean", "std"])
    norms = norms.set_axis(["pass_grad_norm", "pass_grad_norm_sd"], axis=1)
    return lines.join(norms.join(updates[terms].mean()))


def _ended(lines: pd.DataFrame, steps: pd.DataFrame) -> NDArray[np.intp] | None:
    """The first line of its run after each step, or -1; None if no run has both.

    Step i is taken after i others, so it belongs to the pass that the next evaluation ends.
    """
    ended, found = np.full(len(steps), -1), False
    own = steps.groupby(RUN).indices
    done, taken = lines["step"].to_numpy(), steps["step"].to_numpy()
    for name, evaluated in lines.groupby(RUN).indices.items():
        if name not in own:
            continue
        found, mine = True, own[name]
        after = np.searchsorted(done[evaluated], taken[mine], side="right")
        ended[mine] = np.append(evaluated, -1)[after]
    return ended if found else None


def norms(lines: pd.DataFrame, which: str) -> pd.DataFrame:
    """A table for `scaling.analysis.trends`: units are its folds, passes its steps.

    Step p is the pass after p passes; for the norm of the whole query, the weights at its start.
    """
    if which not in lines:
        return pd.DataFrame(columns=["fold", "step", "gradient_norm"])
    positive = lines[lines[which] > 0]
    starts = _starts(positive["passes"], which)
    columns = {"fold": positive["unit"], "step": starts, "gradient_norm": positive[which]}
    return pd.DataFrame(columns).drop_duplicates(["fold", "step"]).reset_index(drop=True)


def _starts(done: Any, which: str) -> Any:
    """The number of passes before the weights of a norm, from that before its evaluation."""
    return np.ceil(done) - 1 if which == "pass_grad_norm" else done


@lru_cache(maxsize=1)
def measures(sweep: SweepTables) -> pd.DataFrame:
    """The rows of adapted runs with measures of their passes; a run is one observation.

    Before and after: `before_query_accuracy` and so on; `query_gain` and `val_gain` are gains in
    accuracy, `forgetting` is the accuracy lost on the source. `entropy_fall` is the fall of the
    query's mean entropy, in nats, and `fall_rate` its fall per pass, over the passes that all arms
    have of the same query. `loss_rate` is the fall per pass of the minimised loss, averaged over a
    pass; its diversity term depends on the batch. `*_scatter` is a standard deviation over the
    mini-batches of a pass (for norms, divided by their mean), averaged over passes; `*_jitter` is
    the standard deviation of changes from one pass to the next (for norms, of their log). `TERMS`
    are means over passes, `COUNTED` the windows that became right or wrong over all of them.
    `norm_slope` is the Theil-Sen slope of the log norm per pass over `norm_span` passes,
    `query_norm_slope` that of the whole query. `equal_*` is after `equal_updates` updates, which
    every arm of the setting reaches; a run that stopped before keeps its last value.

    Rows that already have these columns are not recomputed.
    """
    rows = adapted(sweep.rows)
    if MEASURED in rows:
        return rows
    lines = passes(sweep)
    if lines.empty:
        return rows.iloc[:0]
    new = pd.DataFrame(
        dict(zip(RUN, name, strict=True)) | _of_run(course) for name, course in _courses(lines)
    )
    table = rows.drop(columns=[key for key in new if key in rows and key not in RUN])
    table = table.merge(new, on=RUN)
    table["fall_rate"] = _fall_rates(table, lines)
    return table.merge(_at_equal_updates(table, lines), on=RUN, how="left")


def _courses(lines: pd.DataFrame) -> Iterator[tuple[tuple[str, str], Course]]:
    """Each run with the columns of its lines, as arrays: tables of a run each would be slow."""
    columns = {
        str(key): lines[key].to_numpy(float) for key in lines if is_numeric_dtype(lines[key])
    }
    for name, own in lines.groupby(RUN).indices.items():
        yield name, {key: values[own] for key, values in columns.items()}


def _of_run(course: Course) -> dict[str, float]:
    first, last = ({key: values[i] for key, values in course.items()} for i in (0, -1))
    ends = [key for key in ENDS if key in course]
    measured = {key: last[key] for key in ends} | {f"before_{key}": first[key] for key in ends}
    measured |= {"end": last["passes"], "updates": last["step"]}
    measured |= {key: last[key] for key in COUNTED if key in course}
    measured |= {key: _mean(course[key]) for key in TERMS if key in course}
    for split in ("query", "val"):
        measured[f"{split}_gain"] = last[f"{split}_accuracy"] - first[f"{split}_accuracy"]
    measured["forgetting"] = first["source_accuracy"] - last["source_accuracy"]
    measured["entropy_fall"] = first["query_entropy"] - last["query_entropy"]
    measured["loss_rate"] = _rate(course)
    measured[MEASURED] = math.nan
    if "pass_grad_norm" in course:
        means = np.where(course["pass_grad_norm"] > 0, course["pass_grad_norm"], math.nan)
        measured[MEASURED] = _jitter(np.log(means))
        measured["norm_scatter"] = _mean(course["pass_grad_norm_sd"] / means)
    for name in ("entropy", "diversity"):
        if f"pass_{name}" in course:
            measured[f"{name}_jitter"] = _jitter(course[f"pass_{name}"])
        if f"pass_{name}_sd" in course:
            measured[f"{name}_scatter"] = _mean(course[f"pass_{name}_sd"])
    for key in ("pass_seconds", "pass_memory_mib"):
        if key in course:
            values = course[key][~np.isnan(course[key])]
            measured[key] = np.median(values) if len(values) else math.nan
    for which, name in zip(NORMS, ("norm", "query_norm"), strict=True):
        measured[f"{name}_slope"] = measured[f"{name}_span"] = math.nan
        if which not in course:
            continue
        positive = course[which] > 0
        starts = _starts(course["passes"][positive], which)
        steps, at = np.unique(starts, return_index=True)
        if len(steps) > 1:
            logs = np.log(course[which][positive][at])
            measured[f"{name}_slope"] = stats.theilslopes(logs, steps).slope
            measured[f"{name}_span"] = steps[-1] - steps[0]
    return {key: float(value) for key, value in measured.items()}


def _mean(values: Values) -> float:
    """The mean of the values that are not missing."""
    known = ~np.isnan(values)
    return float(np.where(known, values, 0).sum() / known.sum()) if known.any() else math.nan


def _fall_rates(table: pd.DataFrame, lines: pd.DataFrame) -> pd.Series:
    """Fall of the query's mean entropy per pass in each run, over the passes all arms have.

    Otherwise a run that stopped early would be compared with later, slower passes of other arms.
    """
    courses = dict(_courses(lines[[*RUN, "passes", "query_entropy"]]))
    rates: dict[Any, float] = {}
    for _, block in blocks(table):
        common = block.groupby("unit")["end"].transform("min")
        names = dict(zip(block.index, zip(*(block[key] for key in RUN), strict=True), strict=True))
        for i, passes in common[common > 0].items():
            course = courses[names[i]]
            ends = np.interp([0, passes], course["passes"], course["query_entropy"])
            rates[i] = float(ends[0] - ends[1]) / passes
    return pd.Series(rates, table.index, dtype=float)


def _rate(course: Course) -> float:
    """Fall per pass of a pass's mean loss, from the first to the last."""
    losses = course.get("pass_loss", np.empty(0))
    losses = losses[~np.isnan(losses)]
    return (losses[0] - losses[-1]) / (len(losses) - 1) if len(losses) > 1 else math.nan


def _jitter(course: Values) -> float:
    changes = np.diff(course[~np.isnan(course)])
    return float(changes.std(ddof=1)) if len(course) > 3 and len(changes) > 1 else math.nan


def _at_equal_updates(table: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Each run after as many updates as the arm with the fewest in its setting."""
    courses = dict(_courses(lines[[*RUN, "step", *AT_EQUAL]]))
    equal = []
    for _, block in blocks(table):
        common = block.groupby("arm")["updates"].max().min()
        for name in block[RUN].itertuples(index=False, name=None):
            course = courses[name]
            line = dict(zip(RUN, name, strict=True)) | {"equal_updates": common}
            for key in AT_EQUAL:
                line[f"equal_{key}"] = np.interp(common, course["step"], course[key])
            equal.append(line)
    return pd.DataFrame(equal)


def blocks(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs that differ only in arm, fold and seed, and in an lr that follows the arm.

    If an arm has several learning rates, each is a separate setting: choosing one needs labels,
    which are not available during adaptation.
    """
    for title, setting in by_setting(table.assign(clip=table["clip"].fillna(np.inf))):
        if setting.groupby("arm")["lr"].nunique().max() == 1:
            yield title, setting
            continue
        for lr, block in setting.groupby("lr"):
            yield ", ".join([*([title] if title else []), f"lr={lr:g}"]), block


def arms(block: pd.DataFrame) -> list[str]:
    """The arms of a setting: batch sizes in their order, then those that grow."""
    order = ["grows", "batch", "arm"]
    return list(block[order].drop_duplicates().sort_values(order)["arm"])
