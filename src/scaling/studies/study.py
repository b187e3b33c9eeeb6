"""The protocol of a study, and the list of all studies."""

import importlib
import pkgutil
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from matplotlib.figure import Figure

from scaling import studies
from scaling.contracts.metric import metric_of
from scaling.studies.claims import Verdict
from scaling.studies.sweep_tables import SweepTables

CAPTIONS = tomllib.loads(Path(__file__).with_name("captions.toml").read_text())


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn on request, and its caption."""

    draw: Callable[[], Figure]
    caption: str


def drawings(
    draws: Iterable[Callable[..., Figure]], *tables: pd.DataFrame, **options: Any
) -> dict[str, Drawing]:
    """Figures of some tables, the rows first, by the name of their function, with captions."""
    label = metric_of(tables[0]).label
    loss = label[:1].upper() + label[1:]
    return {
        draw.__name__: Drawing(
            partial(draw, *tables, **options), CAPTIONS[draw.__name__].replace("{Loss}", loss)
        )
        for draw in draws
    }


@runtime_checkable
class Study(Protocol):
    """One question about a sweep: a module of `scaling.studies` with these members.

    A folder is a study if it has a module `study`. If `applies` is false, nothing else is called.

    Attributes:
        ORDER: position in a report, the smallest first.
    """

    ORDER: int

    def applies(self, sweep: SweepTables) -> bool:
        """Whether the sweep has the data that the question needs."""

    def sentences(self, sweep: SweepTables) -> Iterable[str]:
        """The answers of the sweep to the question."""

    def verdicts(self, sweep: SweepTables) -> Iterable[tuple[str, Verdict]]:
        """The judged claims of the study for each setting, each with the setting's title."""

    def tables(self, sweep: SweepTables) -> Mapping[str, pd.DataFrame]:
        """The numbers behind the sentences, by file name."""

    def figures(self, sweep: SweepTables) -> Mapping[str, Drawing]:
        """The figures that have something to show, by file name."""


@runtime_checkable
class HasHeadlines(Protocol):
    """A study with a line on the first screen of a report."""

    def headlines(self, sweep: SweepTables) -> Sequence[str]:
        """The finding in one line, then a line for each setting.

        Empty without a finding. The lines of settings are shown if losses mean nothing, because
        these leave room for them.
        """


@runtime_checkable
class MeasuresRuns(Protocol):
    """A study that computes numbers of each run, which are stored in its row."""

    def measures(self, sweep: SweepTables) -> pd.DataFrame:
        """Rows of the runs that the study covers, with further columns."""


@runtime_checkable
class MeasuresEpochs(Protocol):
    """A study that computes numbers of each evaluation, which are stored in the table of epochs."""

    def passes(self, sweep: SweepTables) -> pd.DataFrame:
        """Evaluations of the runs that the study covers, with further columns."""


def all_studies() -> list[Study]:
    """The studies of this package, in the order of a report.

    Raises:
        TypeError: if a module has `applies` but not every other member of a study.
    """
    names = [
        f"{module.name}.study" if module.ispkg else module.name
        for module in pkgutil.iter_modules(studies.__path__, f"{studies.__name__}.")
    ]
    modules = [importlib.import_module(name) for name in names]
    asking = [_study(module) for module in modules if hasattr(module, "applies")]
    return sorted(asking, key=lambda study: study.ORDER)


def study(name: str) -> Study:
    """Return the study of a file or folder of `scaling.studies`: `laws`, `clipping`, `adaptation`.

    Raises:
        ValueError: for an unknown name; the message lists the studies.
    """
    named = {_name(each): each for each in all_studies()}
    if name not in named:
        raise ValueError(f"{name} is not a study; the studies are {', '.join(named)}")
    return named[name]


def _name(module: Any) -> str:
    name: str = module.__name__
    return name.removeprefix(f"{studies.__name__}.").removesuffix(".study")


def _study(module: ModuleType) -> Study:
    if isinstance(module, Study):
        return module
    members = [*Study.__annotations__, *(name for name in vars(Study) if not name.startswith("_"))]
    missing = ", ".join(name for name in members if not hasattr(module, name))
    page = "docs/howto/study.md"
    raise TypeError(f"{module.__name__} has no {missing}, which a study needs; see {page}")
