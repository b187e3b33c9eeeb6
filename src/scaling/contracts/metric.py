"""The metric of a sweep: a validation loss, or another column that is maximised.

For a maximised column, such as an accuracy, the loss of a run is the distance from the maximum:
`val_loss` is `maximum` minus the value. The column `maximised` of the rows has its name.

If the loss of a data set means nothing, as with drawn gradients, the rows of its runs have an
`uninformative_loss` of 1. Such losses are not compared: code that compares losses takes rows from
`compared`, or settings from `compared_settings`.

The losses of runs of this package are in nats. Those of a table from elsewhere have no known unit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scaling.contracts.settings import by_setting

MAXIMISED, MAXIMUM = "maximised", "maximum"  # columns of rows
UNINFORMATIVE = "uninformative_loss"  # column of rows: 1 if the loss means nothing, else missing


@dataclass(frozen=True)
class Metric:
    """Name, unit and loss of a metric, as texts and figures show them.

    Attributes:
        name: of the metric.
        unit: of losses and their differences, as it follows a number: ` nats`, or empty if it is
            not known.
        loss: what is minimised, for a sentence: `loss`, or `1 - accuracy`.
        label: of an axis of losses, with the unit.
        maximum: of a maximised column; nan for a loss.
        informative: whether losses can be compared.
    """

    name: str = "validation loss"
    unit: str = " nats"
    loss: str = "loss"
    label: str = "validation loss (nats)"
    maximum: float = np.nan
    informative: bool = True

    @property
    def is_loss(self) -> bool:
        """Whether losses are real losses, not distances from a maximum."""
        return bool(np.isnan(self.maximum))

    @property
    def scale(self) -> str:
        """The unit of differences of losses: `nats`, or `1 - accuracy`; empty if not known."""
        return self.unit.strip() if self.is_loss else self.loss

    @property
    def heading(self) -> str:
        """The heading of a table of `shown` values, or why there is no table."""
        if not self.informative:
            return "No losses are compared: those of this data set mean nothing"
        if self.is_loss:
            return "Validation loss in nats" if self.unit else "Validation loss"
        return f"{self.name} (the loss is {self.loss})"

    def shown(self, loss: float) -> float:
        """The value of the metric at a loss."""
        return loss if self.is_loss else self.maximum - loss


LOSS = Metric()
UNKNOWN_UNIT = Metric(unit="", label="validation loss")
NO_METRIC = Metric(informative=False)


def metric_of(rows: pd.DataFrame) -> Metric:
    """The metric of rows, which `scaling.read` gives one."""
    known = _maxima(rows)
    if known.empty:
        if len(rows) and compared(rows).empty:
            return NO_METRIC
        return LOSS if all_recorded_here(rows) else UNKNOWN_UNIT
    name, maximum = str(known[MAXIMISED].iloc[0]), float(known[MAXIMUM].iloc[0])
    loss = f"{maximum:g} - {name}" if maximum else f"-{name}"
    return Metric(name, "", loss, loss, maximum)


def all_recorded_here(rows: pd.DataFrame) -> bool:
    """Whether runs of this package wrote all rows: theirs have a digest, unless damaged."""
    if "digest" not in rows:
        return False
    damaged = rows["status"].eq("corrupt") if "status" in rows else False
    return bool((rows["digest"].notna() | damaged).all())


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose losses mean something; none of them if those have no loss."""
    if UNINFORMATIVE not in rows or len(_maxima(rows)):
        return rows
    others = rows[~rows[UNINFORMATIVE].eq(1)]
    return others if len(others) == len(rows) or others["val_loss"].notna().any() else rows[:0]


def compared_settings(
    rows: pd.DataFrame, *, together: Sequence[str] = ()
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings of `scaling.contracts.settings.by_setting` whose losses mean something."""
    if metric_of(rows).informative:
        for title, block in by_setting(rows, together=together):
            if metric_of(block).informative:
                yield title, block


def _maxima(rows: pd.DataFrame) -> pd.DataFrame:
    """The maximised column of each row, and its maximum; empty if losses are minimised."""
    if not {MAXIMISED, MAXIMUM} <= set(rows):
        return rows.iloc[:0]
    return rows[[MAXIMISED, MAXIMUM]].dropna()


def with_one_maximum(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose losses are distances from one maximum: 1, or 100 for percent, or else 0.

    It is chosen by all values together, so that files of one sweep agree.

    Raises:
        ValueError: if some rows have another metric than others.
    """
    if MAXIMISED not in rows:
        return rows
    names = rows[MAXIMISED].drop_duplicates()
    if len(names) > 1:
        listed = " and ".join(LOSS.name if pd.isna(name) else str(name) for name in names)
        raise ValueError(f"rows of several metrics, {listed}; report them separately")
    values = rows[MAXIMUM].to_numpy(float) - rows["val_loss"].to_numpy(float)
    finite = values[np.isfinite(values)]
    lowest, highest = finite.min(initial=0.0), finite.max(initial=-np.inf)
    best = 0.0 if lowest < 0 or highest > 100 else 1.0 if highest <= 1 else 100.0
    return rows.assign(**{MAXIMUM: best, "val_loss": best - values})
