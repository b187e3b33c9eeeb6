"""Short names of runs, such as `b008 lr3e-3`: what varies in a study, in an order that sorts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scaling.contracts.run_name import point

SHORT = {"batch": "b", "lr": "lr", "clip": "c", "seed": "s"}  # key -> its letters

Settings = Mapping[str, Any]  # key -> number or text


def varying(settings: Iterable[Settings]) -> list[str]:
    """The keys with several values among the runs that have them; root keys come first."""
    values: dict[str, set[Any]] = {key: set() for key in SHORT}
    for each in settings:
        for key, value in each.items():
            values.setdefault(key, set()).add(value)
    return [key for key, several in values.items() if len(several) > 1]


def short_names(
    runs: Sequence[str], settings: Sequence[Settings], planned: Iterable[str] = ()
) -> list[str]:
    """Name the runs of a study by what varies in it; numbers sort alphabetically.

    Names that would be equal get the runs' digests. Folders that are not named like runs
    keep their names.

    Args:
        runs: names of their folders.
        settings: what each run logged, such as `settings/model/layers`; empty if not known.
        planned: names of other runs of the study, which may begin later.
    """
    root_keys = [named._asdict() if (named := point(run)) else None for run in runs]
    run_settings = [
        {**{key: logged[key] for key in logged if "/" in key}, **root} if root else {}
        for logged, root in zip(settings, root_keys, strict=True)
    ]
    begin_later = [named._asdict() for run in planned if (named := point(run))]
    every = [*run_settings, *begin_later]
    keys = [key for key in varying(every) if not _repeats(key, run_settings)] or list(SHORT)
    shown = {key: _sortable(each[key] for each in every if key in each) for key in keys}
    labels = {key: _label(key, keys) for key in keys}
    names = [
        " ".join(f"{labels[key]}{shown[key][each[key]]}" for key in keys if key in each) or run
        for each, run in zip(run_settings, runs, strict=True)
    ]
    counts = Counter(names)
    return [
        f"{name} {run.rpartition('-')[2]}" if counts[name] > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _repeats(key: str, settings: Iterable[Settings]) -> bool:
    """Whether another key in the name says the same, as a root key may of a seed of the data.

    The option of a group says the same if all its runs have one value of the key, as `data=pydoc`
    does of the source of the text.
    """
    having = [each for each in settings if key in each]
    if key in SHORT or not having:
        return False
    if any(all(each[key] == each[root] for each in having) for root in SHORT):
        return True
    group = "/".join(key.split("/")[:2])
    if group == key or not all(group in each for each in having):
        return False
    return len({(each[group], each[key]) for each in having}) == len({e[group] for e in having})


def _label(key: str, keys: Sequence[str]) -> str:
    """The prefix of the value of a key: the last part of the key if no other key ends so."""
    if key in SHORT:
        return SHORT[key]
    last = key.rpartition("/")[2]
    alone = sum(other.rpartition("/")[2] == last for other in keys) == 1
    return f"{last if alone else key.replace('/', '.')}="


def _sortable(values: Iterable[Any]) -> dict[Any, str]:
    """Spell numbers so that they sort alphabetically: `3e-3` if all do so, else `0.003`.

    Whole digits are padded to equal length, so that `008` comes before `128`.
    """
    several = set(values)
    if any(isinstance(value, str) for value in several):
        return {value: str(value).replace("/", "-") for value in several}
    ordered = sorted(several)
    if ordered and 0 < ordered[0] < 0.1 and ordered[-1] < 1:  # such as learning rates, not inf
        short = {value: _scientific(value) for value in ordered}
        if sorted(short.values()) == list(short.values()):
            return short
    finite = (value for value in ordered if math.isfinite(value))
    width = max((len(str(int(value))) for value in finite), default=1)
    return {value: _padded(value, width) for value in ordered}


def _scientific(value: float) -> str:
    digits, _, power = f"{value:.11e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _padded(value: float, width: int) -> str:
    if not math.isfinite(value):
        return str(value)
    whole, _, part = f"{value:.15f}".rstrip("0").partition(".")
    return whole.zfill(width) + (f".{part}" if part else "")
