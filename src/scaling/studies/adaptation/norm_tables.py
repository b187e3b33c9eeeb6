"""The published study's tables of the gradient norm, each next to a corrected counterpart."""

from collections.abc import Iterator

import pandas as pd

from scaling.analysis.trends import first_below, fold_trend
from scaling.studies.adaptation.norm_trends import has_trend, norms_of
from scaling.studies.adaptation.runs import arms

THRESHOLD = 1e-4  # on the norm
EVERY, THIRD = 10, 3  # passes between shown ones; early and late are a third of the passes each


def by_pass(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """The study's table of the mean norm every 10 passes, with its change by three measures.

    `change` is the change from the start, in percent, of the mean over the queries still running;
    `riskset_change` sums the increments of running queries; `completers_change` uses the queries
    present at the first and the last pass. The three agree if no query stops early.
    """
    tables = []
    for arm, norms in _tables(block, lines):
        curve = fold_trend(norms).curve
        shown = [step for step in curve.index if step % EVERY == 0 or step == curve.index[-1]]
        wide = norms.pivot(index="step", columns="fold", values="gradient_norm")
        stayed = wide.loc[:, wide.iloc[-1].notna()].mean(axis=1)
        changes = {
            "change": curve["survivors"], "riskset_change": curve["riskset"],
            "completers_change": stayed,
        }  # fmt: skip
        table = pd.DataFrame({"arm": arm, "pass": shown, "at_risk": curve["at_risk"][shown].values})
        table["mean_norm"] = curve["survivors"][shown].values
        for name, course in changes.items():
            table[name] = (100 * (course / course.iloc[0] - 1))[shown].values
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def early_late(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """The study's table of the mean norm in the first third of the passes against the last third.

    `change` compares means over all queries, `paired_change` means over the `pairs` queries that
    have both thirds.
    """
    changes = []
    for arm, norms in _tables(block, lines):
        last = norms["step"].max()
        thirds = {
            "early": norms["step"] <= last / THIRD,
            "late": norms["step"] >= last * (1 - 1 / THIRD),
        }
        means = {name: norms.loc[there, "gradient_norm"].mean() for name, there in thirds.items()}
        each = pd.DataFrame(
            {
                name: norms[there].groupby("fold")["gradient_norm"].mean()
                for name, there in thirds.items()
            }
        )
        both = each.dropna().mean()
        changes.append(
            {"arm": arm, **means, "change": 100 * (means["late"] / means["early"] - 1),
             "pairs": len(each.dropna()), "paired_change": 100 * (both["late"] / both["early"] - 1)}
        )  # fmt: skip
    return pd.DataFrame(changes)


def distances(block: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """The study's table of the last norm, in multiples of a threshold.

    `reached` of `queries` runs fell below it; the others are censored after `longest` passes or
    earlier.
    """
    rows = []
    for arm, norms in _tables(block, lines):
        each = first_below(norms, THRESHOLD)
        last = norms[norms["step"] == norms["step"].max()]["gradient_norm"].mean()
        rows.append(
            {"arm": arm, "threshold": THRESHOLD, "distance_of_those_left": last / THRESHOLD,
             "distance_of_all": each["distance"].mean(), "reached": int(each["reached"].sum()),
             "queries": len(each), "longest": norms["step"].max()}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _tables(block: pd.DataFrame, lines: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The norms of mini-batches of each arm that has a trend."""
    for arm in arms(block):
        norms = norms_of(block[block["arm"] == arm], lines, "pass_grad_norm")
        if has_trend(norms):
            yield arm, norms
