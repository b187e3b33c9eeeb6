"""The published study's tables of adaptation, each next to a corrected counterpart."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from scaling.analysis.intervals import wilson_interval
from scaling.analysis.significance import mcnemar
from scaling.studies.adaptation import norm_tables, norm_trends
from scaling.studies.adaptation.runs import arms, blocks
from scaling.studies.adaptation.window_tables import window_by_window
from scaling.studies.cluster_intervals import (
    between_arms,
    gain_or_harm,
    gains,
    more_or_less,
    over_clusters,
)
from scaling.studies.sweep_tables import stacked

REFERENCE = "32"  # the published study's batch, used if present
MEASURES = (
    "query_accuracy", "val_accuracy", "query_entropy", "equal_query_accuracy", "equal_val_accuracy",
    "equal_query_entropy", "norm_slope", "loss_rate", "norm_jitter", "norm_scatter", "pass_seconds",
)  # fmt: skip


def all_tables(
    table: pd.DataFrame, lines: pd.DataFrame, windows: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Every table over all settings, without the empty ones.

    Args:
        table: as `scaling.studies.adaptation.runs.measures` gives it.
        lines: of these runs, as `scaling.studies.adaptation.runs.passes` gives them.
        windows: of these runs, as `scaling.results.windows` gives them; empty if not kept.
    """
    made: dict[str, Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
        "adaptation_accuracy": accuracies,
        "adaptation_updates": updates,
        "batch_against_batch": batch_against_batch,
        "window_by_window": lambda block, _: window_by_window(block, windows, reference(block)),
        "norm_trends": norm_trends.trends,
        "norm_by_pass": norm_tables.by_pass,
        "norm_early_late": norm_tables.early_late,
        "norm_threshold": norm_tables.distances,
    }
    settings = list(blocks(table))
    stacks = {
        name: stacked((title, make(block, lines)) for title, block in settings)
        for name, make in made.items()
    }
    return {name: whole for name, whole in stacks.items() if len(whole)}


def accuracies(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each arm on each split before and after, with intervals over clusters.

    `statistics` is the accuracy with batch normalisation statistics from the query and no other
    change. `gain_low` and `gain_high` are for one arm alone, `p_holm` is corrected for all arms;
    `verdict` is gain, harm or inconclusive. For comparison, results of a single evaluation: the
    Wilson interval of the windows of one run (`one_run_low`, `one_run_high`), which does not cover
    other queries; and `mcnemar_p_median`, the median over runs of the p-value of McNemar's test
    of the windows that became right (`won`) and wrong (`lost`, both means over runs).

    Args:
        block: runs of a setting.
        lines: unused.
    """
    rows = []
    for split, size in {"query": "query", "val": "heldout", "source": "source"}.items():
        each, key = gains(block, split), f"{split}_accuracy"
        for arm in arms(block):
            runs, one = block[block["arm"] == arm], each[arm]
            after = over_clusters(block, runs.set_index("unit")[key], within=(0.0, 1.0))
            line = {"arm": arm, "windows": split, "before": runs[f"before_{key}"].mean()}
            line |= {"after": runs[key].mean(), "low": after.low, "high": after.high}
            if f"statistics_{key}" in runs:
                line["statistics"] = runs[f"statistics_{key}"].mean()
            line |= {"gain": one.difference, "gain_low": one.low, "gain_high": one.high}
            line |= {"p_holm": one.p_holm, "verdict": gain_or_harm(one)}
            if f"{size}_windows" in runs:
                line |= _single(runs, split, runs[f"{size}_windows"])
            rows.append(line)
    return pd.DataFrame(rows)


def _single(runs: pd.DataFrame, split: str, windows: pd.Series) -> dict[str, float]:
    """Intervals and tests from the window counts of single runs."""
    many = int(windows.median())
    one = wilson_interval(round(runs[f"{split}_accuracy"].mean() * many), many)
    interval = {"one_run_low": one.low, "one_run_high": one.high}
    if f"{split}_won" not in runs:
        return interval
    counts = runs[[f"{split}_won", f"{split}_lost"]].dropna().astype(int)
    p = [mcnemar(won, lost) for won, lost in counts.itertuples(index=False)]
    won, lost = counts.mean()
    return interval | {
        "won": won,
        "lost": lost,
        "mcnemar_p_median": pd.Series(p, dtype=float).median(),
    }


def updates(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """The study's table of updates per pass, and the number of updates at which arms are compared.

    Args:
        block: runs of a setting.
        lines: of these runs; without them `passes_for_equal` is nan.
    """
    rows = []
    for arm in arms(block):
        runs = block[block["arm"] == arm]
        line = {"arm": arm, "passes": runs["end"].max(), "updates": runs["updates"].max()}
        line["updates_per_pass"] = line["updates"] / line["passes"] if line["passes"] else 0
        equal = float(runs["equal_updates"].iloc[0])
        line |= {
            "equal_updates": equal,
            "passes_for_equal": _passes_at(equal, lines[lines["run"].isin(runs["run"])]),
        }
        rows.append(line)
    return pd.DataFrame(rows)


def _passes_at(updates: float, lines: pd.DataFrame) -> float:
    """The number of passes that an arm's longest run needs for this many updates."""
    if lines.empty:
        return math.nan
    longest = lines.sort_values(["run", "step"])
    longest = longest[longest["run"] == longest["run"].iloc[int(longest["step"].argmax())]]
    return float(np.interp(updates, longest["step"], longest["passes"]))


def reference(block: pd.DataFrame) -> str:
    """The arm that the others are compared with."""
    names = arms(block)
    return REFERENCE if REFERENCE in names else names[0]


def batch_against_batch(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Each arm minus batch 32, or the smallest, paired by fold and seed, Holm-corrected over arms.

    Measures named `equal_` are compared after equally many updates, the others at the end of each
    run: with `match=passes` after equally many passes, unless one stopped early. A measure that is
    missing at batch 32 or at all others is left out.

    Args:
        block: runs of a setting.
        lines: unused.
    """
    if block["arm"].nunique() < 2:
        return pd.DataFrame()
    rows, against = [], reference(block)
    for measure in (key for key in MEASURES if key in block):
        measured = set(block.loc[block[measure].notna(), "arm"])
        if against not in measured or len(measured) < 2:
            continue  # such as a spread over the updates of a pass that has only one
        for one in between_arms(block, measure, against):
            rows.append(
                {"measure": measure, "arm": one.b, "against": one.a, "pairs": one.pairs,
                 "clusters": one.seeds, "difference": one.difference, "low": one.low,
                 "high": one.high, "p_holm": one.p_holm, "verdict": more_or_less(one),
                 "smallest_detectable": one.smallest_detectable}
            )  # fmt: skip
    return pd.DataFrame(rows)
