"""Words of a command line, in the order and spelling that Hydra reads."""

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString

from scaling.config import logspace
from scaling.config.schema import GROUPS, OPTIONAL
from scaling.storage import plans

_PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # as Hydra reads it without quotes
GRIDS = ("1,2,3", "range(1,4)", "logspace(1e-4,1e-2,5)", "choice(1,2,3)")
SWEEP = ("-m", "--multirun")


def spelled(words: Sequence[str]) -> list[str]:
    """Spell the words of a command as Hydra reads them.

    Raises:
        ValueError: for a word that it cannot read, with what to type.
    """
    for word in words:
        if word.startswith("="):
            raise ValueError(unread(word))
    ordered = [
        word if word.startswith("-") else logspace.spelled(_path(word))
        for word in sweep_first(words)
    ]
    read = _of_swept_groups(ordered)
    plans.remember(read, words)
    return read


def sweep_first(words: Sequence[str]) -> list[str]:
    """Move `-m` before the overrides; Hydra refuses those that come after it otherwise."""
    flag = [word for word in words if word in SWEEP][:1]
    return [*flag, *(word for word in words if word not in SWEEP)]


def without_grids(words: Sequence[str]) -> list[str]:
    """Leave out `-m` and overrides with several values, because `--help` shows one config."""
    kept = [word for word in words if word not in SWEEP]
    return [word for word in kept if "=" not in word or word.startswith("-") or not _is_grid(word)]


def _of_swept_groups(words: Sequence[str]) -> list[str]:
    """Turn `schedule.warmup_steps=2` into a grid of one value if `schedule` is swept.

    Hydra sets single values before it knows the options of a sweep, so it refuses a key that the
    default option does not have.
    """
    keys = {word: word.partition("=")[0] for word in words if not word.startswith("-")}
    groups = [word for word, key in keys.items() if key in (*GROUPS, *OPTIONAL)]
    swept = {keys[word] for word in groups if _is_grid(word)}
    inside = {word for word, key in keys.items() if "." in key and key.partition(".")[0] in swept}
    return [
        f"{keys[word]}=choice({word.partition('=')[2]})"
        if word in inside and not word.endswith("=") and not _is_grid(word)
        else word
        for word in words
    ]


def _is_grid(word: str) -> bool:
    """Whether an override has several values."""
    return OverridesParser.create().parse_override(word).is_sweep_override()


def _path(word: str) -> str:
    """Expand `~` in the value of an override, and quote the path of a file that exists."""
    key, equals, value = word.partition("=")
    value = re.sub(r"(?:^|(?<=,))~[^,]*", lambda home: os.path.expanduser(home[0]), value)
    existing = key.endswith(".path") and os.path.exists(value)
    if existing and not _PLAIN.fullmatch(value):
        return f"{key}={quoted(value)}"
    return f"{key}{equals}{value}"


def quoted(value: str) -> str:
    """A value as Hydra reads it whatever its characters."""
    return QuotedString(value, Quote.double).with_quotes()


def unread(word: str) -> str:
    """Message for an override that Hydra's parser does not read."""
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"[~+]*[\w./@:$-]+", key):
        return f"{word} is not KEY=VALUE, such as batch=32"
    whole = shlex.quote(f"{key}={quoted(value)}")
    pairs = any(value.count(opening) != value.count(end) for opening, end in ("()", "[]", "{}"))
    remedy = (
        "close its brackets, or quote it" if pairs else "a value with such characters is quoted"
    )
    return f"{word} cannot be read; {remedy}: {whole}"


def unknown_function(word: str, name: str) -> str:
    """Message for an override with a function that Hydra does not have, such as `a(1)`."""
    key, _, value = word.partition("=")
    whole = shlex.quote(f"{key}={quoted(value)}")
    return (
        f"{word}: {name} is not a function; values of a grid are {', '.join(GRIDS)}; "
        f"as text it is quoted: {whole}"
    )


def several_values(word: str) -> str:
    """Message for an override with several values in the command of a single run."""
    key, _, value = word.partition("=")
    command = plans.typed().replace("scaling.train", "scaling.train -m", 1)
    text = f"{word} has several values, which only a sweep trains; add -m: {command}"
    if "." in key and not value.endswith(")"):
        one, many = (shlex.quote(f"{key}={form}") for form in (quoted(value), f"[{value}]"))
        text += f" (as one text it is {one}, as one list {many})"
    return text
