"""Checks for leaks: repeated records, and windows sorted by label or file order."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from scaling.contracts.labeled import Labeled
from scaling.datamodules.bags import contents

SORTED = -6.0  # standard deviations below the expected number of runs of equal labels
ENOUGH = 5.0  # least standard deviation of that number; below it, the number is far from normal
IN_SEQUENCE = 0.2  # share of steps to the next record of the file


def leaks(
    parts: Mapping[str, Labeled],
    positions: Mapping[str, Integer[np.ndarray, "windows length"]] | None = None,
) -> dict[str, int | float]:
    """Check windows for leaks and return the measurements. Raises if a leak is found.

    - `leak_windows`: windows that occur again, in the same part or in another; always 0.
    - `leak_records`: records (time steps) that occur again, in the same window or in another, as
      with overlapping windows; always 0.
    - `leak_label_order`: excess of the number of runs of equal labels over a random order, in
      standard deviations, in the part with the smallest; far below 0 if windows are sorted by
      label. Parts that are small or almost of one label count as 0. (The runs test of Wald and
      Wolfowitz, for several classes.)
    - `leak_file_order`: share of steps inside a window that lead to the next record of the file, in
      the part where it is largest.

    Contents are compared exactly, as bytes.

    Args:
        parts: name -> windows and labels.
        positions: name -> position of each record in its file; None for data without a file.

    Raises:
        ValueError: naming the parts and the leak.
    """
    for what, start in (("window", 1), ("record", 0)):
        flat = {name: part.windows.flatten(start, start + 1) for name, part in parts.items()}
        _check_repeated({name: contents(rows.numpy()) for name, rows in flat.items()}, what)
    measured: dict[str, int | float] = {"leak_windows": 0, "leak_records": 0}
    orders = {name: _label_order(part.labels) for name, part in parts.items()}
    for name, order in orders.items():
        if order < SORTED:
            raise ValueError(
                f"data: windows of {name} are sorted by their labels (runs of equal labels are "
                f"{-order:.1f} standard deviations fewer than in a random order); shuffle them"
            )
    measured["leak_label_order"] = min(orders.values())
    shares = {name: _in_sequence(where) for name, where in (positions or {}).items()}
    for name, share in shares.items():
        if share > IN_SEQUENCE:
            raise ValueError(
                f"data: windows of {name} follow the order of the file in {share:.1%} of their "
                "steps, which leaks labels; draw their records at random"
            )
    if shares:
        measured["leak_file_order"] = max(shares.values())
    return measured


def _check_repeated(parts: Mapping[str, list[bytes]], what: str) -> None:
    """Raise if any content occurs twice, in one part or in two."""
    seen: dict[bytes, str] = {}
    for name, entries in parts.items():
        count = len(seen)
        again = {entry: seen[entry] for entry in entries if entry in seen}
        seen.update(dict.fromkeys(entries, name))
        if again:
            other, shared = Counter(again.values()).most_common(1)[0]
            raise ValueError(
                f"data: {other} and {name} share {shared} {what}s; keep duplicates together, and "
                "split before making windows"
            )
        if inside := len(entries) - (len(seen) - count):
            raise ValueError(
                f"data: {name} has {inside} {what}s twice; keep one of each, without overlapping "
                "windows"
            )


def _label_order(labels: Integer[Tensor, " n"]) -> float:
    """Number of runs of equal labels above expectation, in standard deviations; 0 if too few."""
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
