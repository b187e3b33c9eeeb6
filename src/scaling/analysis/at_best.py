"""The runs of each setting and batch size at the best of its learning rates."""

import pandas as pd

from scaling.analysis.naive_optima import naive_optima
from scaling.contracts.settings import by_setting


def at_best(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs at the best learning rate of their setting and batch size.

    Statistics over seeds use these runs only: a run at another learning rate is not another seed.
    The best lr has the lowest mean validation loss over the seeds that were tried with every lr, or
    over all seeds if there is no such seed. With a single lr all runs are kept.

    Args:
        rows: as `scaling.results.read` gives them.
    """
    blocks = []
    for _, block in by_setting(rows):
        several = block.groupby("batch")["lr"].transform("nunique") > 1
        if several.any():  # a table of one lr per batch size needs no loss
            compared = block[several].groupby("batch", group_keys=False)[list(block)].apply(_alike)
            best = {optimum.batch: optimum.argmin for optimum in naive_optima(compared)}
            block = block[~several | (block["lr"] == block["batch"].map(best))]
        blocks.append(block)
    return pd.concat(blocks).sort_index() if blocks else rows.iloc[:0]


def _alike(block: pd.DataFrame) -> pd.DataFrame:
    """The runs of a batch size whose seed was tried with every learning rate, or all of them."""
    tried = block.groupby("seed")["lr"].nunique()
    shared = block[block["seed"].isin(tried.index[tried == block["lr"].nunique()])]
    return shared if len(shared) else block
