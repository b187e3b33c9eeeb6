"""Numbers with their nouns, for sentences."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 seed`, `3 seeds`.

    Args:
        number: the count.
        one: what follows it if it is 1; it may include a verb, such as `run is left out`.
        many: what follows any other count; by default `one` with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
