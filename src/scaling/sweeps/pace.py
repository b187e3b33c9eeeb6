"""How fast a sweep goes, and how long the rest of it takes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scaling.config.cell import Cell
from scaling.storage.run_state import RunState

HARDLY_MATTER = ("lr", "clip", "seed", "batch")  # for how long a run of some examples takes


class Pace:
    """Predicts the rest of a sweep from the time that its cells took so far.

    Cells of a kind differ in lr, clip, seed and batch only. A cell takes as long as the median of
    its kind with as many examples. If none has ended, its time is on the straight line through two
    other numbers of examples. One other number gives an upper bound: that many examples in
    proportion, and never less than the whole.

    Args:
        todo: cells to train, each with its number of training examples.
        at_a_time: cells trained at a time; None counts as 1.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        todo: Sequence[tuple[Cell, int]],
        at_a_time: int | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.clock, self.workers = clock, max(1, min(at_a_time or 1, len(todo)))
        self.waiting = {cell.folder: cell for cell, _ in todo}
        self.examples = {cell.folder: number for cell, number in todo}
        self.kinds = {cell.folder: _kind(cell) for cell, _ in todo}
        self.total, self.ends = len(todo), [clock()] * self.workers
        # seconds of the cells of a kind, by their examples; each worker's first cell is a bound
        self.lasted: dict[_Kind, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.first: dict[_Kind, tuple[int, float]] = {}

    @property
    def ended(self) -> int:
        """Number of cells that have ended."""
        return self.total - len(self.waiting)

    def longest_first(self, todo: Sequence[Cell]) -> list[Cell]:
        """Sort cells by training examples, so that no long one runs alone at the end."""
        return sorted(todo, key=lambda cell: self.examples[cell.folder], reverse=True)

    def end(self, cell: Cell, state: RunState) -> None:
        """Count a cell that ended.

        It took its worker's time since that worker's last cell, which is about as long ago as there
        are workers. The first cell of each worker also waits for its imports, so it is a bound.
        """
        self.waiting.pop(cell.folder)
        self.ends.append(self.clock())
        if not state.finished:
            return
        lasted = self.ends[-1] - self.ends[-1 - self.workers]
        examples, kind = self.examples[cell.folder], self.kinds[cell.folder]
        if self.ended > self.workers:
            self.lasted[kind][examples].append(lasted)
        else:
            self.first[kind] = max(self.first.get(kind, (0, 0.0)), (examples, lasted))

    def left(self, progress: Mapping[Path, float]) -> tuple[float, bool] | None:
        """Predict the seconds left, and whether they are only an upper bound; None if unknown.

        Args:
            progress: share of its steps that a running cell has taken.
        """
        known: dict[tuple[_Kind, int], tuple[float, bool] | None] = {}
        bounds, each = [], []
        for folder in list(self.waiting):
            key = self.kinds[folder], self.examples[folder]
            if key not in known:
                known[key] = self._predict(*key)
            predicted = known[key]
            if predicted is None:
                return None
            each.append(predicted[0] * (1 - progress.get(folder, 0.0)))
            bounds.append(predicted[1])
        return (max(sum(each) / self.workers, *each), any(bounds)) if each else None

    def _predict(self, kind: "_Kind", examples: int) -> tuple[float, bool] | None:
        """Seconds of a cell, and whether they are only an upper bound; None if unknown."""
        medians = {n: statistics.median(lasted) for n, lasted in self.lasted[kind].items()}
        if examples in medians:
            return medians[examples], False
        if len(medians) > 1:
            near, far = sorted(medians, key=lambda n: abs(n - examples))[:2]
            slope = max(0.0, (medians[far] - medians[near]) / (far - near))
            proportional = medians[near] * min(1.0, examples / near)
            return max(proportional, medians[near] + slope * (examples - near)), False
        known = [*medians.items(), *([self.first[kind]] if kind in self.first else [])]
        if not known:
            return None
        n, seconds = known[0]
        return seconds * max(1.0, examples / n), True


_Kind = frozenset[str]


def _kind(cell: Cell) -> _Kind:
    """What was typed for a cell, without keys that hardly change how long its examples take."""
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
