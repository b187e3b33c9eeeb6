"""The speed of a sweep, and the time that the rest of it takes."""

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scaling.config.cell import Cell
from scaling.storage.run_state import RunState

HARDLY_MATTER = ("lr", "clip", "seed", "batch")  # for how long a run of some size takes


class Size(NamedTuple):
    """The amount of training of a cell."""

    examples: int
    steps: int  # of the optimizer


class Pace:
    """Predicts the rest of a sweep from the time that its cells took so far.

    Cells of a kind differ in lr, clip, seed and batch only. A cell takes as long as the median of
    its kind and size. If none of its size has ended, its time is on the straight line through two
    sizes that differ in examples only, or in steps only. Otherwise a cell of another size gives an
    upper bound: its time in proportion to the examples or the steps, whichever is more, and never
    less than the whole.

    Args:
        todo: cells to train.
        at_a_time: cells trained at a time; None counts as 1.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        todo: Sequence[tuple[Cell, Size]],
        at_a_time: int | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.clock, self.workers = clock, max(1, min(at_a_time or 1, len(todo)))
        self.waiting = {cell.folder: cell for cell, _ in todo}
        self.sizes = {cell.folder: size for cell, size in todo}
        self.kinds = {cell.folder: _kind(cell) for cell, _ in todo}
        self.total, self.ends = len(todo), [clock()] * self.workers
        # seconds of the cells of a kind, by size; each worker's first cell gives bounds only
        self.lasted: dict[_Kind, dict[Size, list[float]]] = {}
        self.first: dict[_Kind, dict[Size, list[float]]] = {}
        self.lock = threading.Lock()  # a view asks from a thread of its own

    @property
    def ended(self) -> int:
        """Number of cells that have ended."""
        return self.total - len(self.waiting)

    def longest_first(self, todo: Sequence[Cell]) -> list[Cell]:
        """Sort cells by examples, then by steps, so that no long one runs alone at the end."""
        return sorted(todo, key=lambda cell: self.sizes[cell.folder], reverse=True)

    def end(self, cell: Cell, state: RunState) -> None:
        """Count a cell that ended.

        Its time is that since the last cell of the same worker. With n workers, that is about the
        n-th last cell that ended. The first cell of each worker also waits for its imports.
        """
        with self.lock:
            self.waiting.pop(cell.folder)
            self.ends.append(self.clock())
            if not state.finished:
                return
            lasted = self.ends[-1] - self.ends[-1 - self.workers]
            times = self.lasted if self.ended > self.workers else self.first
            by_size = times.setdefault(self.kinds[cell.folder], {})
            by_size.setdefault(self.sizes[cell.folder], []).append(lasted)

    def left(self, progress: Mapping[Path, float]) -> tuple[float, bool] | None:
        """Predict the seconds left, and whether they are only an upper bound; None if unknown.

        Args:
            progress: share of its steps that a running cell has taken.
        """
        with self.lock:
            predictions: dict[tuple[_Kind, Size], tuple[float, bool] | None] = {}
            bounds, each = [], []
            for folder in self.waiting:
                key = self.kinds[folder], self.sizes[folder]
                if key not in predictions:
                    predictions[key] = self._predict(*key)
                predicted = predictions[key]
                if predicted is None:
                    return None
                each.append(predicted[0] * (1 - progress.get(folder, 0.0)))
                bounds.append(predicted[1])
        return (max(sum(each) / self.workers, *each), any(bounds)) if each else None

    def _predict(self, kind: "_Kind", size: Size) -> tuple[float, bool] | None:
        """Seconds of a cell, and whether they are only an upper bound; None if unknown."""
        medians = {s: statistics.median(each) for s, each in self.lasted.get(kind, {}).items()}
        if size in medians:
            return medians[size], False
        for axis in range(len(size)):  # examples, then steps
            alike = {s[axis]: time for s, time in medians.items() if s[1 - axis] == size[1 - axis]}
            if len(alike) > 1:
                return _on_line(alike, size[axis]), False
        if not medians:
            medians = {s: statistics.median(each) for s, each in self.first.get(kind, {}).items()}
        bounds = [
            seconds * max(1.0, size.examples / other.examples, size.steps / other.steps)
            for other, seconds in medians.items()
        ]
        return (min(bounds), True) if bounds else None


def _on_line(times: Mapping[int, float], number: int) -> float:
    """The time of a number of examples or steps, on the line through the two nearest."""
    near, far = sorted(times, key=lambda n: abs(n - number))[:2]
    slope = max(0.0, (times[far] - times[near]) / (far - near))
    proportional = times[near] * min(1.0, number / near)
    return max(proportional, times[near] + slope * (number - near))


_Kind = frozenset[str]


def _kind(cell: Cell) -> _Kind:
    """The overrides of a cell, without keys that hardly change how long its examples take."""
    return frozenset(word for word in cell.overrides if word.partition("=")[0] not in HARDLY_MATTER)


def duration(seconds: float) -> str:
    """A time in words: `3 min 20 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def time_left(left: tuple[float, bool] | None) -> str:
    """The prediction of `Pace.left` in words, rounded up to 1, 5 or 30 s; empty if unknown."""
    if left is None:
        return ""
    seconds, bound = left
    step = 1 if seconds < 20 else 5 if seconds < 120 else 30
    rounded = duration(step * -(-seconds // step))
    return f"{'at most' if bound else 'about'} {rounded} left"
