"""What a setting is: all that sets runs apart but batch, learning rate, seed and fold."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd


def by_setting(
    rows: pd.DataFrame, *, together: Sequence[str] = ()
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Blocks of rows that differ only in batch, lr, seed and fold, each under what sets it apart.

    Args:
        rows: as `read` gives them; damaged ones belong to no block.
        together: columns that may differ within a block, too, such as `clip`; with `optimizer`,
            its own settings as well.
    """
    rows = rows[rows["status"] != "corrupt"]
    choices = ("model", "data", "optimizer", "protocol", "duration", "clip")
    nested = [key for key in map(str, rows) if "." in key and not key.startswith("logger.")]
    nested = [key for key in nested if not key.endswith(".fold")]
    keys: list[str] = []
    apart = [key for key in (*choices, *nested) if not {key, key.partition(".")[0]} & {*together}]
    for key in apart:
        if _groups(rows, [*keys, key]) > _groups(rows, keys):
            keys.append(key)
    if not keys:
        yield "", rows
        return
    for values, block in rows.groupby(keys, dropna=False, sort=True):
        yield (
            ", ".join(f"{key}={_shown(value)}" for key, value in zip(keys, values, strict=True)),
            block,
        )


def _shown(value: Any) -> str:
    if pd.isna(value):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _groups(rows: pd.DataFrame, keys: list[str]) -> int:
    return len(rows[keys].drop_duplicates()) if keys else min(len(rows), 1)
