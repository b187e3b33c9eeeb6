"""Expand a command into cells: the points of a grid, checked and without duplicates."""

import contextlib
import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from scaling.config import logspace
from scaling.config.cell import Cell, SharedChecks, make_cell
from scaling.config.errors import REFUSED, message
from scaling.config.near_names import one_of
from scaling.config.override_words import override_of
from scaling.contracts.columns import SWITCHES
from scaling.contracts.precision import rounded
from scaling.contracts.words import counted

log = logging.getLogger(__name__)

Point = tuple[str, ...]  # overrides that go together
PAIRS, EXCLUDE = "hydra.sweeper.pairs", "hydra.sweeper.exclude"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The grid of an experiment; an override in the command replaces the values of its key.

    Args:
        params: key -> values; all combinations.
        pairs: mappings of key -> values that go together, the first with the first and so on.
        exclude: mappings of key -> value or list of values; a cell that matches all keys of one
            mapping is left out.
        first: keep this many values, or pairs of values, of keys that are not in the command; None
            keeps all.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    pairs: Any = ()
    exclude: Any = ()
    first: int | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.first < 1:
            raise ValueError(
                f"hydra.sweeper.first={self.first} must be at least 1; null keeps all values"
            )
        for name in ("pairs", "exclude"):
            entries = getattr(self, name)
            listed = isinstance(entries, Sequence) and not isinstance(entries, str)
            if not listed or not all(isinstance(entry, Mapping) and entry for entry in entries):
                raise ValueError(
                    f"hydra.sweeper.{name}={entries} must be a list of mappings, such as "
                    "[{batch: 256, clip: 0.01}]"
                )
        keys = [*self.params, *(key for pair in self.pairs for key in pair)]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(
                    f"{key} is swept twice in hydra.sweeper; give it in params or in one of pairs"
                )


def expand(
    loader: ConfigLoader, master: DictConfig, arguments: Sequence[str], grid: Grid
) -> list[Cell]:
    """Expand a grid into cells, in the order of its keys; cells with one identity appear once.

    Hydra would compose every cell from scratch. Here groups are composed once per choice of
    options, and the values of each point replace those of the one before.

    Args:
        loader: Hydra's.
        master: the composed config, without swept keys.
        arguments: overrides, as typed.
        grid: of the experiment.

    Raises:
        ValueError: naming a key whose value is invalid in one of the cells.
    """
    parser = OverridesParser.create(config_loader=loader)
    axes = _axes(parser, arguments, grid)
    chosen = {
        override.get_key_element()
        for axis in axes
        for override in parser.parse_overrides(list(axis[0] if axis else ()))
        if loader.get_group_options(override.key_or_group)
    }
    if any(_keys(axis) == {"experiment"} and len(axis) > 1 for axis in axes):
        raise ValueError("a command can have only one experiment, because each sets the grid")
    composed = [axis for axis in axes if _keys(axis) & chosen or len(axis) == 1]
    varied = [axis for axis in axes if axis not in composed]
    for rule in grid.exclude:
        _check_options(loader, rule)
    cells: dict[str, Cell] = {}
    shared = SharedChecks()
    words = list({word for axis in varied for point in axis for word in point})
    parsed = dict(zip(words, parser.parse_overrides(words), strict=True))
    merged = any(isinstance(o.value(), dict | list) for o in parsed.values())
    points, excluded = 0, dict.fromkeys(range(len(grid.exclude)), 0)
    for options in _joined(composed):
        with _with_options(options, composed):
            base = loader.load_sweep_config(master, list(options))
        HydraConfig.instance().set_config(base)  # where ${hydra:...} looks
        choices = dict(base.hydra.runtime.choices)
        with open_dict(base):
            del base["hydra"]
        for point in _joined(varied):
            points += 1
            settings = base.copy() if merged else base  # a mapping would be merged into the last
            for override in map(parsed.__getitem__, point):
                added = override.is_add() or override.is_force_add()
                key, value = override.key_or_group, override.value()
                with _with_options(options, composed):
                    OmegaConf.update(settings, key, value, merge=True, force_add=added)
            out = [i for i, rule in enumerate(grid.exclude) if _agrees(settings, choices, rule)]
            for i in out:
                excluded[i] += 1
            if not out:
                cell = make_cell(settings, [*options, *point], choices, shared)
                cells.setdefault(f"{cell.config['study']}/{cell.digest}", cell)
    if not points:
        raise ValueError("the grid is empty; give every swept key at least one value")
    if not cells:
        raise ValueError(f"{EXCLUDE} removes all {points} cells; relax it, or set it to null")
    for i, count in excluded.items():
        effect = f"left out {count} of {counted(points, 'cell')} with" if count else "no cell has"
        log.info("%s: %s %s", EXCLUDE, effect, dict(grid.exclude[i]))
    return list(cells.values())


@contextlib.contextmanager
def _with_options(options: Point, axes: Sequence[Sequence[Point]]) -> Iterator[None]:
    """Say in an error which of several swept options it is about, such as one without a key."""
    try:
        yield
    except REFUSED as error:
        swept = {word for axis in axes if len(axis) > 1 for point in axis for word in point}
        about = [word for word in options if word in swept]
        if not about:
            raise
        raise ValueError(f"{message(error)} (with {', '.join(about)})") from None


def _axes(parser: OverridesParser, arguments: Sequence[str], grid: Grid) -> list[list[Point]]:
    """The points along each axis of the grid; a point is one override, or several of a pair.

    A typed key is removed from its pair, whose other keys stay together. Typed values are all
    kept; a log line counts the other values that `grid.first` drops.
    """
    params = [override_of(key, value) for key, value in grid.params.items()]
    single: dict[str, list[Point]] = {}
    for override in parser.parse_overrides([*params, *arguments]):
        key = override.key_or_group  # without a leading plus
        single[f"{key}@{override.package}"] = [(point,) for point in _points(override)]
        if key in SWITCHES and override.is_sweep_override():
            raise ValueError(f"{override.input_line} cannot be swept; give {key} one value")
    typed_keys = {f"{o.key_or_group}@{o.package}" for o in parser.parse_overrides(list(arguments))}
    axes, cut = [], []

    def first(points: list[Point]) -> list[Point]:
        if grid.first is not None and len(points) > grid.first:
            keys = [override.partition("=")[0] for override in points[0]]
            cut.append(f"{' and '.join(keys)} ({grid.first} of {len(points)})")
        return points[: grid.first]

    for pair in grid.pairs:
        columns = {}
        typed = [override_of(key, value) for key, value in pair.items()]
        for entry in typed:
            if entry.endswith("="):
                raise ValueError(f"{PAIRS}: {entry[:-1]} has no values")
        for override in parser.parse_overrides(typed):
            columns[f"{override.key_or_group}@{override.package}"] = _points(override)
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{k.split('@')[0]} has {n}" for k, n in lengths.items())
            raise ValueError(f"{PAIRS}: keys of a pair need the same number of values; {counted}")
        kept = [values for key, values in columns.items() if key not in single]
        if kept:
            axes.append(first(list(dict.fromkeys(zip(*kept, strict=True)))))
    axes += [points if key in typed_keys else first(points) for key, points in single.items()]
    if cut:
        log.info(
            "hydra.sweeper.first=%d keeps the first values of %s; typed values are all kept",
            grid.first,
            ", ".join(cut),
        )
    return axes


def _joined(axes: Sequence[Sequence[Point]]) -> Iterator[Point]:
    """The Cartesian product of axes; each result joins one point of every axis."""
    for points in itertools.product(*axes):
        yield tuple(itertools.chain.from_iterable(points))


def _keys(axis: Sequence[Point]) -> set[str]:
    return {override.partition("=")[0] for override in axis[0]} if axis else set()


def _agrees(settings: DictConfig, choices: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    """Whether a composed config has the value, or one of the values, of every key of a rule.

    Raises:
        ValueError: for a key that the config does not have.
    """
    for key, ruled in rule.items():
        if key in choices:
            got = choices[key]
        elif (got := OmegaConf.select(settings, key, default=_NOTHING)) is _NOTHING:
            raise ValueError(f"{EXCLUDE}: {key} is an unknown key")
        if OmegaConf.is_list(got):
            got = OmegaConf.to_container(got)
            nested = (
                isinstance(ruled, list)
                and ruled
                and all(isinstance(value, list) for value in ruled)
            )
            ruled = ruled if nested else [ruled]  # a list is one value here
        if not any(_same(key, got, value) for value in _listed(ruled)):
            return False
    return True


_NOTHING = object()


def _check_options(loader: ConfigLoader, rule: Mapping[str, Any]) -> None:
    """Refuse a rule with an option that its config group does not have."""
    for key, ruled in rule.items():
        options = loader.get_group_options(key)
        for option in _listed(ruled) if options else ():
            if option not in options:
                raise ValueError(
                    f"{EXCLUDE}: {key}={option} must be {one_of(str(option), options)}"
                )


def _listed(value: Any) -> Sequence[Any]:
    return value if OmegaConf.is_list(value) or isinstance(value, list) else [value]


def _same(key: str, got: Any, ruled: Any) -> bool:
    """Whether two values of a key are equal, as 1 and 1.0, 0.3 and 0.1 + 0.2, null and inf clip.

    Raises:
        ValueError: for text if the config has a number.
    """
    if key == "clip":
        got, ruled = (math.inf if value is None else value for value in (got, ruled))
    if isinstance(got, int | float) and not isinstance(got, bool) and isinstance(ruled, str):
        try:
            ruled = float(ruled)
        except ValueError as error:
            raise ValueError(f"{EXCLUDE}: {key}={ruled} must be a number") from error
    return bool(rounded(got) == rounded(ruled))


def _points(override: Override) -> list[str]:
    """Split an override with several values into single ones."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [override.input_line or key]
    if not override.is_discrete_sweep():
        word = override.input_line or key
        raise ValueError(
            f"{word} is an interval; a grid needs values, as in {key}=1e-3,1e-2; for equal ratios "
            f"{logspace.remedy(word)}"
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
