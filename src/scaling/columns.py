"""What a table must have before numbers are taken from it."""

import pandas as pd


def need(table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table that lacks columns.

    Raises:
        ValueError: naming them.
    """
    if absent := [column for column in columns if column not in table]:
        raise ValueError(f"no column {', '.join(absent)} in this table")


def alike(table: pd.DataFrame, *settings: str) -> None:
    """Refuse a table whose runs differ in a setting; one without the column passes.

    Raises:
        ValueError: naming the setting.
    """
    for setting in settings:
        if setting in table and table[setting].nunique() > 1:
            raise ValueError(f"{setting} has several values; give the runs of one at a time")
