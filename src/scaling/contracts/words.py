"""Words of messages and commands: numbers with their nouns."""

import textwrap


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


def wrapped(text: str, columns: int) -> list[str]:
    """A line as lines of at most so many columns, broken after a semicolon if there is one.

    Later lines are indented by two columns more. A word that is longer than a line is kept whole.
    """
    if len(text) <= columns:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    clauses, semicolon, rest = text[:columns].rpartition("; ")
    if semicolon:
        return [f"{clauses};", *wrapped(indent + rest + text[columns:], columns)]
    return textwrap.wrap(
        text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
