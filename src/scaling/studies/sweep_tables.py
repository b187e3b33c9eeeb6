"""The tables of a sweep, as studies read them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from scaling import results
from scaling.contracts.settings import AXIS, is_setting


@dataclass(frozen=True, eq=False)  # hashed by identity, for caches of results
class SweepTables:
    """Rows, and the longer tables of their runs, read on first use; empty if no run has them."""

    rows: pd.DataFrame
    folders: tuple[Path, ...] = ()
    flat: float | None = None  # rise in nats below which an optimum is flat, if it was chosen
    over: tuple[str, ...] = ()  # axes of one law, if they were chosen

    @classmethod
    def of(
        cls,
        *folders: Path,
        flat: float | None = None,
        over: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        maximise: str | None = None,
    ) -> "SweepTables":
        """Read the rows below some folders of runs, studies or exported sweeps.

        Args:
            folders: read as one sweep.
            flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
            over: columns that are axes of one law (`scaling.learning_rate_law`); each combination
                of those other than the batch size is a setting.
            columns: our names -> names in a table (`scaling.read`).
            maximise: column to maximise in place of minimising a loss (`scaling.read`).

        Raises:
            FileNotFoundError: if there is no row below a folder.
            ValueError: if a file is not a table of rows, or has no such column.
        """
        rows = results.read(*folders, columns=columns, maximise=maximise, axes=over)
        if absent := [axis for axis in over if axis not in rows]:
            raise ValueError(
                f"no column {absent[0]} in this table, so it cannot be an axis; if it has another "
                f"name there, give it with --columns {absent[0]}=NAME"
            )
        rows = rows.assign(**{f"{AXIS}{axis}": rows[axis] for axis in over if not is_setting(axis)})
        return cls(rows, folders, flat, tuple(over))

    def load(self) -> None:
        """Read the longer tables now, so that their warnings come together."""
        for name in ("steps", "epochs", "windows", "rounds", "layer_epochs", "probes", "tails"):
            getattr(self, name)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A line per run and optimizer step."""
        return results.steps(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A line per run and evaluation."""
        return results.epochs(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def probes(self) -> pd.DataFrame:
        """A line per run, probe of the noise scale and parameter tensor."""
        return results.probes(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def windows(self) -> pd.DataFrame:
        """A line per run and scored window."""
        return results.windows(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """A line per adapted run and federated round of its source model."""
        return results.rounds(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def layer_epochs(self) -> pd.DataFrame:
        """A line per run, epoch and parameter tensor."""
        return results.layer_epochs(*self.folders) if self.folders else pd.DataFrame()

    @cached_property
    def tails(self) -> pd.DataFrame:
        """A line per run, window of steps, axis and group of layers."""
        return results.tails(*self.folders) if self.folders else pd.DataFrame()


def where(title: str) -> str:
    """The title of a setting in parentheses, for a sentence; empty if there is only one setting."""
    return f" ({title})" if title else ""


def stacked(parts: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Concatenate the non-empty tables of settings, with the title as first column."""
    tables = [part.assign(setting=title) for title, part in parts if len(part)]
    whole = pd.concat(tables) if tables else pd.DataFrame({"setting": []})
    return whole[["setting", *whole.columns.drop("setting")]]
