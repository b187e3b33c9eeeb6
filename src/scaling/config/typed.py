"""Words of a command line, in the order and spelling that Hydra reads."""

import shlex
from collections.abc import Sequence

from scaling.config import logspace
from scaling.storage import plans

SWEEP = ("-m", "--multirun")


def spelled(words: Sequence[str]) -> list[str]:
    """Spell the words of a command as Hydra reads them.

    Raises:
        ValueError: for a word that it cannot read, with what to type.
    """
    return [word if word.startswith("-") else logspace.spelled(word) for word in sweep_first(words)]


def sweep_first(words: Sequence[str]) -> list[str]:
    """Move `-m` before the overrides; Hydra refuses those that come after it otherwise."""
    flag = [word for word in words if word in SWEEP][:1]
    return [*flag, *(word for word in words if word not in SWEEP)]


def several_values(word: str) -> str:
    """Message for an override with several values in the command of a single run."""
    key, _, value = word.partition("=")
    command = plans.typed().replace("scaling.train", "scaling.train -m", 1)
    text = f"{word} has several values, which only a sweep trains; add -m: {command}"
    if "." in key and not value.endswith(")"):
        one, many = (shlex.quote(f"{key}={form}") for form in (f'"{value}"', f"[{value}]"))
        text += f" (as one text it is {one}, as one list {many})"
    return text
