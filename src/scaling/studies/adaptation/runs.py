"""What adaptation did in each run, in a line per run, and in a line per run and pass."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from scaling.contracts.settings import by_setting
from scaling.studies.sweep_tables import SweepTables

RUN = ["study", "run"]
NORMS = ("pass_grad_norm", "query_grad_norm")  # of mini-batches, mean of a pass; of the whole query
SCORED = ("accuracy", "f1", "mcc", "loss")
ENDS = (
    *(f"{split}_{score}" for split in ("query", "val", "source") for score in SCORED),
    *("query_entropy", "query_diversity", "query_confidence", "query_largest_share"),
)
COUNTED = tuple(f"{split}_{way}" for split in ("query", "val", "source") for way in ("won", "lost"))
TERMS = (
    "grad_norm_post_clip",
    "gradient_cosine",
    "entropy_grad_norm",
    "diversity_grad_norm",
    "diversity_weight",
)
AT_EQUAL = ("query_entropy", "query_accuracy", "val_accuracy")
MEASURED = "norm_jitter"  # a column that only `measures` makes
FOLDS = ("data.fold", "data.growth", "data.growth_passes")  # said by `fold` and `arm`


def adapted(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that ended and were adapted, each with its `arm` and its `unit`.

    An arm is a batch size, or two where it grows, `16 to 64`, and within how many passes, if runs
    differ in that: `16 to 64 in 20`. A unit is a query of a seed's population: a fold and a seed.
    A run that is in two studies counts once.
    """
    if "query_accuracy" not in rows:
        return rows.iloc[:0]
    own = rows[(rows["status"] == "done") & rows["query_accuracy"].notna()]
    own = own[~own.duplicated("digest")] if "digest" in own else own
    fold = _either(own, "fold", "data.fold").fillna(0).astype(int)
    last = _either(own, "growth", "data.growth")
    within = _either(own, "growth_passes", "data.growth_passes")
    several = within[last.notna()].nunique() > 1
    arm = [
        f"{first:g}"
        + ("" if math.isnan(end) else f" to {end:g}")
        + (f" in {passes:g}" if several and not math.isnan(end) else "")
        for first, end, passes in zip(own["batch"], last, within, strict=True)
    ]
    unit = [f"fold {f}, seed {s:g}" for f, s in zip(fold, own["seed"], strict=True)]
    kept = own.drop(columns=[key for key in FOLDS if key in own])
    return kept.assign(fold=fold, arm=arm, unit=unit, grows=last.notna())


def _either(rows: pd.DataFrame, measured: str, key: str) -> pd.Series:
    """What runs have measured, else what their configs say, which is known where they differ."""
    missing = pd.Series(math.nan, rows.index)
    own, said = (rows.get(name, missing).astype(float) for name in (measured, key))
    return own.fillna(said)


@lru_cache(maxsize=1)  # sentences, verdicts and tables of one report ask for the same
def passes(sweep: SweepTables) -> pd.DataFrame:
    """Evaluations of adapted runs, with the norms of the updates since the one before.

    `passes` counts those before an evaluation. `pass_grad_norm` and `pass_grad_norm_sd` are mean
    and standard deviation over mini-batches of the norm before clipping, in the pass that ended
    there; `TERMS` are means over the same mini-batches. Tables that were kept with them are taken
    at their word.
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
    known = [key for key in TERMS if key in sweep.steps]
    taken = sweep.steps[~sweep.steps["skipped"].astype(bool)]
    steps = taken[[*RUN, "step", "grad_norm_pre_clip", *known]].astype(dict.fromkeys(RUN, "object"))
    own = dict(iter(steps.groupby(RUN)))
    found = [_norms(block, own[name]) for name, block in lines.groupby(RUN) if name in own]
    return lines.join(pd.concat(found)) if found else lines


def _norms(lines: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """Norms of the updates between the evaluations of a run; update i has i before it."""
    ended = np.searchsorted(lines["step"], steps["step"], side="right")
    norms = steps["grad_norm_pre_clip"].groupby(ended).agg(["mean", "std"])
    norms = norms.set_axis(["pass_grad_norm", "pass_grad_norm_sd"], axis=1)
    table = norms.join(steps[[key for key in TERMS if key in steps]].groupby(ended).mean())
    table = table[table.index < len(lines)]
    return table.set_axis(lines.index[table.index])


def norms(lines: pd.DataFrame, which: str) -> pd.DataFrame:
    """A table for `scaling.analysis.trends`: a fold for each unit, a step for each pass.

    Step p is the pass that starts after p passes, or for the whole query the weights at its start.
    """
    if which not in lines:
        return pd.DataFrame(columns=["fold", "step", "gradient_norm"])
    known = lines[lines[which] > 0]
    done = known["passes"]
    start = np.ceil(done) - 1 if which == "pass_grad_norm" else done
    found = pd.DataFrame({"fold": known["unit"], "step": start, "gradient_norm": known[which]})
    return found.drop_duplicates(["fold", "step"]).reset_index(drop=True)


@lru_cache(maxsize=1)
def measures(sweep: SweepTables) -> pd.DataFrame:
    """The rows of adapted runs, each with what its passes say; a run is one observation.

    Before and after: `before_query_accuracy` and so on; `query_gain` and `val_gain` in accuracy,
    `forgetting` the accuracy lost on the source. `entropy_fall` is that of the query's mean
    entropy, in nats, and `fall_rate` the same per pass, over the passes that all arms have of the
    same query; `loss_rate` is the fall of what is minimised, its mean over a pass, per pass, of
    which the diversity depends on the batch. `*_scatter` is over the mini-batches of a
    pass, a standard deviation (of norms, over their mean), averaged over passes; `*_jitter` the
    standard deviation of changes from one pass to the next (of norms, of their log). `TERMS` are
    means over passes, `COUNTED` windows that became right or wrong in all of them. `norm_slope`
    is the Theil-Sen slope of the log norm per pass over `norm_span` passes, `query_norm_slope` that
    of the whole query's. `equal_*` is after `equal_updates`, as many as every arm of the setting
    has; a run that had stopped is as it was then.

    Rows that were kept with these columns are taken at their word.
    """
    rows = adapted(sweep.rows)
    if MEASURED in rows:
        return rows
    lines = passes(sweep)
    if lines.empty:
        return rows.iloc[:0]
    found = pd.DataFrame(
        [dict(zip(RUN, name, strict=True)) | _of_run(own) for name, own in lines.groupby(RUN)]
    )
    table = rows.drop(columns=[key for key in found if key in rows and key not in RUN])
    table = table.merge(found, on=RUN)
    table["fall_rate"] = _fall_rates(table, lines)
    return table.merge(_at_equal_updates(table, lines), on=RUN, how="left")


def _of_run(lines: pd.DataFrame) -> dict[str, float]:
    first, last = lines.iloc[0], lines.iloc[-1]
    known = [key for key in ENDS if key in lines]
    found = {key: last[key] for key in known} | {f"before_{key}": first[key] for key in known}
    found |= {"end": last["passes"], "updates": last["step"]}
    found |= {key: last[key] for key in COUNTED if key in lines}
    found |= {key: lines[key].mean() for key in TERMS if key in lines}
    for split in ("query", "val"):
        found[f"{split}_gain"] = last[f"{split}_accuracy"] - first[f"{split}_accuracy"]
    found["forgetting"] = first["source_accuracy"] - last["source_accuracy"]
    found["entropy_fall"] = first["query_entropy"] - last["query_entropy"]
    found["loss_rate"] = _rate(lines)
    logs = (
        np.log(lines["pass_grad_norm"].where(lines["pass_grad_norm"] > 0))
        if "pass_grad_norm" in lines
        else None
    )
    found[MEASURED] = math.nan if logs is None else _jitter(logs)
    if logs is not None:
        found["norm_scatter"] = (lines["pass_grad_norm_sd"] / lines["pass_grad_norm"]).mean()
    for name in ("entropy", "diversity"):
        if f"pass_{name}" in lines:
            found[f"{name}_jitter"] = _jitter(lines[f"pass_{name}"])
        if f"pass_{name}_sd" in lines:
            found[f"{name}_scatter"] = lines[f"pass_{name}_sd"].mean()
    for key in ("pass_seconds", "pass_memory_mib"):
        if key in lines:
            found[key] = lines[key].median()
    for which, name in zip(NORMS, ("norm", "query_norm"), strict=True):
        own = norms(lines, which)
        found[f"{name}_slope"] = found[f"{name}_span"] = math.nan
        if len(own) > 1:
            logs = np.log(own["gradient_norm"].astype(float))
            found[f"{name}_slope"] = stats.theilslopes(logs, own["step"]).slope
            found[f"{name}_span"] = own["step"].max() - own["step"].min()
    return {key: float(value) for key, value in found.items()}


def _fall_rates(table: pd.DataFrame, lines: pd.DataFrame) -> pd.Series:
    """How fast the query's mean entropy falls in each run, over passes that its rivals have, too.

    A run that stopped early would else be compared with others' later, slower passes.
    """
    own = dict(iter(lines.groupby(RUN)))
    found: dict[Any, float] = {}
    for _, block in blocks(table):
        common = block.groupby("unit")["end"].transform("min")
        names = dict(zip(block.index, zip(*(block[key] for key in RUN), strict=True), strict=True))
        for i, passes in common[common > 0].items():
            course = own[names[i]]
            ends = np.interp([0, passes], course["passes"], course["query_entropy"])
            found[i] = float(ends[0] - ends[1]) / passes
    return pd.Series(found, table.index, dtype=float)


def _rate(lines: pd.DataFrame) -> float:
    """How fast the mean loss of a pass falls, per pass, from the first to the last."""
    losses = lines["pass_loss"].dropna() if "pass_loss" in lines else pd.Series(dtype=float)
    if len(losses) < 2:
        return math.nan
    return (losses.iloc[0] - losses.iloc[-1]) / (len(losses) - 1)


def _jitter(course: pd.Series) -> float:
    return (
        float(np.diff(course.dropna().to_numpy(float)).std(ddof=1)) if len(course) > 3 else math.nan
    )


def _at_equal_updates(table: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Each run after as many updates as the arm with the fewest in its setting."""
    own = dict(iter(lines.groupby(RUN)))
    found = []
    for _, block in blocks(table):
        common = block.groupby("arm")["updates"].max().min()
        for name in block[RUN].itertuples(index=False, name=None):
            course = own[name]
            found.append(
                dict(zip(RUN, name, strict=True))
                | {"equal_updates": common}
                | {
                    f"equal_{key}": np.interp(common, course["step"], course[key])
                    for key in AT_EQUAL
                }
            )
    return pd.DataFrame(found)


def blocks(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs that differ in their arm, fold and seed only, and in what lr follows the arm.

    Where an arm has several learning rates each is a setting of its own: to choose among them would
    take labels, which whoever adapts does not have.
    """
    for title, setting in by_setting(table.assign(clip=table["clip"].fillna(np.inf))):
        if setting.groupby("arm")["lr"].nunique().max() == 1:
            yield title, setting
            continue
        for lr, block in setting.groupby("lr"):
            yield ", ".join([*([title] if title else []), f"lr={lr:g}"]), block


def arms(block: pd.DataFrame) -> list[str]:
    """The arms of a setting: batch sizes in their order, then those that grow."""
    known = (
        block[["grows", "batch", "arm"]].drop_duplicates().sort_values(["grows", "batch", "arm"])
    )
    return list(known["arm"])
