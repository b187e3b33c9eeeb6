"""The best learning rate of a batch size in words, with marks that are explained."""

from collections.abc import Iterable

from scaling.analysis.optima import Optimum
from scaling.studies import law_words

NO_BOWL = "~"  # before a best lr without a fitted bowl
MARKS = {  # before a best lr -> what it means
    NO_BOWL: "no fitted bowl: the interval ends at learning rates that are worse or diverged",
    ">": "lower end of an interval without an upper end: the best lr may lie above the grid",
    "<": "upper end of an interval without a lower end: the best lr may lie below the grid",
}


def marks_used(texts: Iterable[str]) -> list[str]:
    """A line on each mark that begins one of the best learning rates."""
    first = {text[:1] for text in texts}
    return [f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in first]


def best_lr(one: Optimum) -> str:
    """The best lr of a batch size with its interval, or why it is not known."""
    if one.status == "interior":
        mark = "" if one.has_bowl else NO_BOWL
        return mark + law_words.lr_span(one.lr, one.low, one.high)
    if one.status == "high_edge":
        return f"above {one.low:.2g}, no upper end"
    if one.status == "low_edge":
        return f"below {one.high:.2g}, no lower end"
    if one.status == "flat":
        return f"no best one: {one.reason}"
    return f"{one.status}: {one.reason}"


def shortest(one: Optimum) -> str:
    """The best lr of a batch size, or the known end of its interval; `-` if nothing is known."""
    return {
        "interior": f"{'' if one.has_bowl else NO_BOWL}{one.lr:.2g}",
        "high_edge": f">{one.low:.2g}",
        "low_edge": f"<{one.high:.2g}",
    }.get(one.status, "-")
