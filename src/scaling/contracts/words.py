"""Words of messages and commands: numbers with their nouns."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 seed`, `3 seeds`.

    Args:
        number: the count.
        one: what follows it if it is 1; it may include a verb, such as `run is left out`.
        many: what follows any other count; by default `one` with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def typed(value: float) -> str:
    """A number as it is typed in a command: whole, or in two digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:.2g}"
