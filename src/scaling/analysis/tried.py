"""The best of the learning rates that were tried."""

import pandas as pd

from scaling.analysis import optima
from scaling.contracts.settings import by_setting


def at_best(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of each setting and batch size at the best of its learning rates.

    What is said of a setting over its seeds is said of these: runs at other learning rates are no
    further seeds of it. Best is the lowest mean validation loss over the seeds that all learning
    rates were tried with, or over all if there are none; where one was tried, it is that.

    Args:
        rows: as `scaling.results.read` gives them.
    """
    kept = []
    for _, block in by_setting(rows):
        several = block.groupby("batch")["lr"].transform("nunique") > 1
        if several.any():  # else no loss is asked for
            judged = block[several].groupby("batch", group_keys=False)[list(block)].apply(_alike)
            best = {vertex.batch: vertex.argmin for vertex in optima.vertices(judged)}
            block = block[~several | (block["lr"] == block["batch"].map(best))]
        kept.append(block)
    return pd.concat(kept).sort_index() if kept else rows.iloc[:0]


def _alike(block: pd.DataFrame) -> pd.DataFrame:
    """The runs of a batch size whose seed was tried with every learning rate; else all of them."""
    tried = block.groupby("seed")["lr"].nunique()
    shared = block[block["seed"].isin(tried.index[tried == block["lr"].nunique()])]
    return shared if len(shared) else block
