"""Checks of arguments that many classes share. Messages begin with the argument's name."""

from collections.abc import Iterable


def check_least(least: int, **values: int) -> None:
    """Check that values reach a minimum.

    Raises:
        ValueError: naming the first that does not.
    """
    for key, value in values.items():
        if value < least:
            raise ValueError(f"{key}={value} must be at least {least}")


def check_choice(choices: Iterable[str], **values: str) -> None:
    """Check that values are among the choices.

    Raises:
        ValueError: naming the first that is not, and the choices.
    """
    names = list(choices)
    for key, value in values.items():
        if value not in names:
            raise ValueError(f"{key}={value} must be one of {', '.join(names)}")
