"""Whether windows give away what they must not: the same records twice, or labels in order."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from scaling.contracts.labeled import Labeled

SORTED = -6.0  # standard deviations; by chance one part in 10^6 has so few runs of labels
ENOUGH = 5.0  # runs, their standard deviation, below which their number is far from normal
IN_SEQUENCE = 0.2  # share of steps to the very next record of the file


def leaks(
    parts: Mapping[str, Labeled],
    positions: Mapping[str, Integer[np.ndarray, "windows length"]] | None = None,
) -> dict[str, int | float]:
    """What was looked for, as counts; of a leak nothing but an error comes back.

    - `leak_windows`: windows that occur again, in the same part or in another.
    - `leak_records`: records (time steps) that occur again, in the same window or another: windows
      that overlap, and duplicates that were divided.
    - `leak_label_order`: of the part whose labels come most in order, how many standard deviations
      its number of runs of equal labels is above that of a random order; far below 0 where windows
      are sorted by label. A part that is small, or almost of one label, says nothing and counts
      as 0. (The runs test of Wald and Wolfowitz, for several classes.)
    - `leak_file_order`: the largest share, over the parts, of steps inside a window that lead to
      the record that is next in the file.

    Contents are compared exactly, as bytes.

    Args:
        parts: name -> windows and labels.
        positions: name -> where in its file each record stood; None for data without a file.

    Raises:
        ValueError: naming the parts, and what they share.
    """
    if repeated := _repeated(_whole(parts), "window"):
        raise ValueError(repeated)
    if repeated := _repeated(_single(parts), "record"):
        raise ValueError(repeated)
    found: dict[str, int | float] = {"leak_windows": 0, "leak_records": 0}
    orders = {name: _label_order(part.labels) for name, part in parts.items()}
    for name, order in orders.items():
        if order < SORTED:
            raise ValueError(
                f"data: windows of {name} lie in the order of their labels (runs of equal labels "
                f"are {-order:.1f} standard deviations fewer than in a random order); shuffle them"
            )
    found["leak_label_order"] = min(orders.values())
    shares = {name: _in_sequence(where) for name, where in (positions or {}).items()}
    for name, share in shares.items():
        if share > IN_SEQUENCE:
            raise ValueError(
                f"data: windows of {name} follow the order of the file in {share:.1%} of their "
                "steps, and that order gives labels away; draw their records at random"
            )
    if shares:
        found["leak_file_order"] = max(shares.values())
    return found


def _whole(parts: Mapping[str, Labeled]) -> Iterator[tuple[str, list[bytes]]]:
    for name, (windows, _) in parts.items():
        yield name, _contents(windows.flatten(1))


def _single(parts: Mapping[str, Labeled]) -> Iterator[tuple[str, list[bytes]]]:
    for name, (windows, _) in parts.items():
        yield name, _contents(windows.flatten(0, 1))


def _contents(rows: Tensor) -> list[bytes]:
    whole = np.ascontiguousarray((rows + 0.0).numpy())  # -0.0 and 0.0 are the same number
    packed = whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1])))
    return [bytes(content) for content in packed.ravel().tolist()]


def _repeated(contents: Iterator[tuple[str, list[bytes]]], what: str) -> str | None:
    """Where the first content that occurs twice does so; None if there is none."""
    seen: dict[bytes, str] = {}
    for name, entries in contents:
        count = len(seen)
        again = {entry: seen[entry] for entry in entries if entry in seen}
        seen.update(dict.fromkeys(entries, name))
        if again:
            other, shared = Counter(again.values()).most_common(1)[0]
            return (
                f"data: {other} and {name} share {shared} {what}s; keep duplicates together, and "
                "divide before making windows"
            )
        if inside := len(entries) - (len(seen) - count):
            return (
                f"data: {name} has {inside} {what}s twice; keep one of each, and let windows not "
                "overlap"
            )
    return None


def _label_order(labels: Integer[Tensor, " n"]) -> float:
    """Runs of equal labels above expectation, in standard deviations; 0 if too few to say."""
    n, counts = len(labels), torch.bincount(labels).double()
    squares, cubes = (counts**2).sum().item(), (counts**3).sum().item()
    variance = squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3
    deviation = (max(variance, 0.0) / (n**2 * max(n - 1, 1))) ** 0.5
    if deviation < ENOUGH:
        return 0.0
    runs = 1 + (labels[1:] != labels[:-1]).sum().item()
    return (runs - (n * (n + 1) - squares) / n) / deviation


def _in_sequence(positions: Integer[np.ndarray, "windows length"]) -> float:
    return float((np.diff(positions, axis=1) == 1).mean())
