"""Batch sizes compared window by window, for runs scored on the same windows."""

from collections.abc import Iterator

import pandas as pd

from scaling.analysis.intervals import LEVEL
from scaling.analysis.significance import holm, mcnemar
from scaling.studies.adaptation.runs import RUN, arms


def window_by_window(block: pd.DataFrame, windows: pd.DataFrame, against: str) -> pd.DataFrame:
    """McNemar's test of each arm against another, on each query separately.

    `won` windows are right in this arm and wrong in the other one, `lost` the other way round, both
    means over queries; `mcnemar_p_median` is the median p-value over queries, and `differ` the
    number of `queries` whose p-value, corrected for all queries of the arm (Holm), is below 5 %.
    The test shows whether two runs classify a query differently; for conclusions on other queries
    use the interval of `batch_against_batch`.

    Args:
        block: runs of a setting.
        windows: of these and other runs, as `scaling.results.windows` gives them.
        against: the arm that others are compared with.
    """
    if windows.empty:
        return pd.DataFrame()
    named = block[[*RUN, "arm", "unit"]]
    scored = windows.astype(dict.fromkeys((*RUN, "split"), "object")).merge(named, on=RUN)
    lines = []
    for split, part in scored.groupby("split", sort=False):
        right = part.pivot_table(index=["unit", "window"], columns="arm", values="after")
        for arm in (arm for arm in arms(block) if arm in right and arm != against):
            if against not in right:
                continue
            both = right[[against, arm]].dropna()
            counts = pd.DataFrame(_counts(both, arm, against))
            if counts.empty:
                continue
            p = holm(counts["p"].to_numpy(float))
            lines.append(
                {"windows": split, "arm": arm, "against": against, "queries": len(counts),
                 "won": counts["won"].mean(), "lost": counts["lost"].mean(),
                 "mcnemar_p_median": counts["p"].median(), "differ": int((p < 1 - LEVEL).sum())}
            )  # fmt: skip
    return pd.DataFrame(lines)


def _counts(both: pd.DataFrame, arm: str, against: str) -> Iterator[dict[str, float]]:
    for _, query in both.groupby("unit"):
        mine, other = query[arm] > 0.5, query[against] > 0.5
        won, lost = int((mine & ~other).sum()), int((other & ~mine).sum())
        yield {"won": won, "lost": lost, "p": mcnemar(won, lost)}
