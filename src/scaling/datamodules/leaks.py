"""Whether windows give away what they must not: the same records twice, or labels in order."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from scaling.datamodules.populations import Labeled

FEW_CHANGES = 0.5  # of the changes of label that an order drawn at random has
ENOUGH = 20  # expected changes, below which nothing can be said of an order
IN_SEQUENCE = 0.2  # share of steps to the very next record of the file


def leaks(
    parts: Mapping[str, Labeled],
    positions: Mapping[str, Integer[np.ndarray, "windows length"]] | None = None,
) -> dict[str, int | float]:
    """What was looked for, as counts; of a leak nothing but an error comes back.

    - `leak_windows`: windows that occur again, in the same part or in another.
    - `leak_records`: records (time steps) that occur again, in the same window or another: windows
      that overlap, and duplicates that were divided.
    - `leak_label_order`: the smallest ratio, over the parts, of the changes of label from each
      window to the next to their expectation n (1 - sum_k p_k^2) in a random order; 0 where the
      windows are sorted by label. A part of which fewer than 20 are expected says nothing.
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
    known = {name: ratio for name, ratio in orders.items() if ratio is not None}
    for name, ratio in known.items():
        if ratio < FEW_CHANGES:
            raise ValueError(
                f"data: windows of {name} lie in the order of their labels ({ratio:.1%} of the "
                "changes of label that a random order has); shuffle them"
            )
    if known:
        found["leak_label_order"] = min(known.values())
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


def _label_order(labels: Integer[Tensor, " n"]) -> float | None:
    """Changes of label from one to the next, per change in a random order."""
    shares = torch.bincount(labels).double() / len(labels)
    expected = len(labels) * (1 - (shares**2).sum().item())
    if expected < ENOUGH:
        return None
    return (labels[1:] != labels[:-1]).sum().item() / expected


def _in_sequence(positions: Integer[np.ndarray, "windows length"]) -> float:
    return float((np.diff(positions, axis=1) == 1).mean())
