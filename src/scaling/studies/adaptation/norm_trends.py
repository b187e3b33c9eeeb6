"""Changes of the gradient norm while a model adapts, for each arm, by several measures."""

import math
from collections.abc import Iterator

import pandas as pd

from scaling.analysis.intervals import FEWEST
from scaling.analysis.trends import direction, fold_trend, percent
from scaling.studies.adaptation.runs import NORMS, arms, norms
from scaling.studies.claims import Estimate
from scaling.studies.cluster_intervals import change_of_norm, cluster_of

NAMES = {"pass_grad_norm": "norm", "query_grad_norm": "query_norm"}  # table -> measure
OF = {"pass_grad_norm": "mini-batches", "query_grad_norm": "the whole query"}


def trends(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """A line for each arm and kind of norm: of mini-batches, and of the whole query.

    `survivors`, `completers` and `riskset` are changes in percent, defined in `trends.FoldTrend`;
    `change`, `low` and `high` come from the slopes within queries, over independent clusters.
    `late` queries have no norm in the first pass, for example because all its updates were skipped,
    and are left out of the first three. `zeros` are norms of 0, which are always left out because
    they have no logarithm.

    Args:
        block: runs of a setting, as `scaling.studies.adaptation.runs.measures` gives them.
        lines: of these, as `scaling.studies.adaptation.runs.passes` gives them; without them only
            slopes are known.
    """
    rows = []
    for arm in arms(block):
        runs = block[block["arm"] == arm]
        for which in NORMS:
            interval = change_of_norm(runs, NAMES[which])
            if math.isnan(interval.value):
                continue
            ends = {"change": interval.value, "low": interval.low, "high": interval.high}
            series = norms_of(runs, lines, which)
            rows.append(
                {"arm": arm, "norm_of": OF[which], "queries": runs["unit"].nunique(),
                 **{key: percent(end) for key, end in ends.items()}, "verdict": direction(interval),
                 **_changes(series), **_lacking(runs, lines, which, series)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def sentences(table: pd.DataFrame) -> Iterator[str]:
    """The trend of each kind of norm, with a warning if the mean of survivors disagrees."""
    if table.empty:
        return
    for kind, trend in table.groupby("norm_of", sort=False):
        each = [
            f"batch {arm} {verdict} ({change:+.3g} %, {_reach(low, high)})"
            for arm, verdict, change, low, high in zip(
                *(trend[key] for key in ("arm", "verdict", "change", "low", "high")), strict=True
            )
        ]
        yield f"Gradient norm of {kind} over the passes, slopes within queries: {'; '.join(each)}"
        for row in trend[trend.reindex(columns=["late", "zeros"]).gt(0).any(axis=1)].itertuples():
            yield (
                f"Warning: at batch {row.arm}, norms of {kind}: {row.late:.0f} of {row.queries} "
                "queries have no norm in the first pass and are left out of means (not of slopes); "
                f"{row.zeros:.0f} norms are 0 and are left out of both"
            )
        conflicts = trend[trend["conflict"] == 1] if "conflict" in trend else trend.iloc[:0]
        for row in conflicts.itertuples():
            yield (
                f"Warning: at batch {row.arm} the norm of {kind} depends on which queries stopped "
                f"early: {row.survivors:+.2f} % by the mean of running queries, "
                f"{row.completers:+.2f} % by those that never stopped, {row.riskset:+.2f} % by "
                f"increments of running queries ({row.stayed:.0f} of {row.queries} ran to the end)"
            )


def reversal(block: pd.DataFrame, *, rising: str, falling: str) -> Estimate:
    """The smaller of a rise at one batch and a fall at another, in log changes of the norm.

    Positive if the norm does both. The ends of its interval are the smaller lower end and the
    smaller upper end of the two intervals. Each end misses the true value in at most 5 %, which is
    the total error rate of each of the two intervals.
    """
    ends = {arm: change_of_norm(block[block["arm"] == arm], "norm") for arm in (rising, falling)}
    for arm, one in ends.items():
        if math.isnan(one.value):
            return Estimate.missing(f"no norms at batch {arm}", "runs at both batch sizes")
    unit = cluster_of(block)
    if any(math.isnan(one.low) for one in ends.values()):
        return Estimate.missing(f"fewer than {FEWEST} {unit}s", f"{FEWEST} {unit}s, or more")
    up, down = ends[rising], ends[falling]
    shown = " and ".join(
        f"{percent(one.value):+.3g} % at {arm} ({_reach(percent(one.low), percent(one.high))})"
        for arm, one in ends.items()
    )
    return Estimate(
        min(up.value, -down.value), min(up.low, -down.high), min(up.high, -down.low), shown,
        f"more {unit}s, adapted without early stopping",
    )  # fmt: skip


def norms_of(runs: pd.DataFrame, lines: pd.DataFrame, which: str) -> pd.DataFrame:
    """Norms for `scaling.analysis.trends`, of the queries with a norm in the first pass."""
    series = norms(_of(runs, lines), which)
    begun = series.loc[series["step"] == series["step"].min(), "fold"]
    return series[series["fold"].isin(begun)]


def has_trend(series: pd.DataFrame) -> bool:
    """Whether at least two units have two norms or more."""
    return bool((series.groupby("fold")["step"].count() > 1).sum() > 1)


def _of(runs: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    return lines[lines["run"].isin(runs["run"])] if len(lines) else lines


def _changes(series: pd.DataFrame) -> dict[str, float]:
    """The change of survivors, completers and the risk set; empty without a trend."""
    if not has_trend(series):
        return {}
    trend = fold_trend(series)
    return {
        "survivors": trend.survivors_change,
        "completers": trend.completers_change,
        "riskset": trend.riskset_change,
        "conflict": float(trend.conflict),
        "at_risk": float(trend.at_risk.iloc[0]),
        "stayed": float(trend.at_risk.iloc[-1]),
        "passes": float(trend.curve.index[-1]),
    }


def _lacking(
    runs: pd.DataFrame, lines: pd.DataFrame, which: str, series: pd.DataFrame
) -> dict[str, int]:
    """The number of queries and of norms that the trends leave out."""
    passes = _of(runs, lines)
    if which not in passes:
        return {}
    there = norms(passes, which)["fold"].nunique()
    return {"late": there - series["fold"].nunique(), "zeros": int((passes[which] == 0).sum())}


def _reach(low: float, high: float) -> str:
    return "no interval" if math.isnan(low) else f"{low:+.3g} to {high:+.3g}"
