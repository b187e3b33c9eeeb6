"""Numbers that agree in 12 significant digits are the same setting.

A grid of `range(0.1,0.45,0.1)` holds 0.30000000000000004, which is the same learning rate as 0.3.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `--help` needs no tables
    import pandas as pd

DIGITS = 12  # of the 15 to 17 that a double has


def rounded(value: Any) -> Any:
    """Round a value, or all numbers in nested lists and mappings, to 12 significant digits.

    Only finite floats are rounded; everything else is unchanged.
    """
    if isinstance(value, Mapping):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return value


def rounded_column(column: "pd.Series") -> "pd.Series":
    """Round a column of floats to 12 significant digits; other columns are unchanged."""
    if column.dtype.kind != "f":
        return column
    values = {value: rounded(float(value)) for value in column.dropna().unique()}
    return column.map(values).astype(column.dtype)
