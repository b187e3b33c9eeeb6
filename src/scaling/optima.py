"""The best learning rate of each batch size: an interval and a status, not a point.

For one batch size and clip the loss of learning rate j and seed s is L_js = m_j + D_s + noise: what
a seed does to all its runs, D_s, is no noise. About the lowest m a bowl A + K g(ln lr - ln LR_opt)
is fitted, where g is LINEX of any skew (`scaling.bowls`), which is z^2 at skew 0.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Status = Literal["interior", "low_edge", "high_edge", "flat", "unresolved", "irregular"]

COLUMNS = ("batch", "lr", "clip", "seed", "status", "val_loss")
SKEW = 1.5  # the largest, as in `scaling.bowls`
FEW = 6  # degrees of freedom, below which noise is pooled over batch sizes
MISFIT = 0.1  # p-value below which a bowl is not believed
STRICT = 5  # `interior` needs an interval inside the grid at an error rate this much smaller
FINEST = 1e-6  # nats; float32 losses are not known better, however well seeds agree


@dataclass(frozen=True)
class Optimum:
    """The best learning rate of one batch size and clip. Losses in nats, logs natural.

    `interior`: it lies in the grid, between `low` and `high`. `low_edge`, `high_edge`: it may lie
    beyond this end of the grid, and not beyond the other; `low` is then 0, or `high` inf, and `lr`
    and `loss` are those of the best one tried. `flat`: losses surely differ by less than asked for
    over the whole grid. `unresolved`: the runs do not tell. `irregular`: the losses are no bowl.
    In the last three `lr`, `low`, `high`, `curvature` and `loss` are nan.
    """

    batch: float
    clip: float
    lr: float
    low: float
    high: float
    curvature: float  # second derivative of loss by log lr at the optimum; nan at an edge
    depth: float  # upper bound on worst less best loss of the grid; inf if there is no bound
    loss: float  # at the optimum
    status: Status
    reason: str
    seeds: int


@dataclass(frozen=True)
class Vertices:
    """What plain analyses of one batch size and clip call the best lr; nan where they find none."""

    batch: float
    clip: float
    argmin: float
    three: float  # lowest point of the parabola in log lr through it and its neighbours
    whole: float  # of the least-squares parabola through all learning rates


def optimum(
    rows: pd.DataFrame, *, flat: float = 0.02, level: float = 0.95
) -> tuple[Optimum, ...]:
    """The optimum of each batch size and clip, sorted.

    The bowl goes through the five learning rates about the best, or as many more as it takes to
    see both its sides. The interval is that of a likelihood ratio, stretched to hold the lowest
    points of a parabola through three and of a cubic through five. Where no bowl fits, it ends at
    the nearest learning rates that are surely worse than one between.

    Noise is how seeds scatter about the five, pooled over batch sizes where that is little to go
    by; with one seed, what cubics through the five leave; if that is nothing, the status is read
    off the grid. An lr at which a run diverged is worse than any other. `val_loss_se` is not used:
    runs share their validation data, so it is not the error of a difference.

    Args:
        rows: as `scaling.results.read` gives them, of runs that differ in nothing but `batch`,
            `lr`, `clip` and `seed`. Only done and diverged ones count; a missing clip is inf.
        flat: depth in nats, below which a bowl is called flat.
        level: of the interval, and of the one-sided bound on the depth.

    Raises:
        ValueError: if a column is absent.
    """
    found = _found(rows)
    answers = []
    for (batch, clip), cells in found.items():
        unknown = (math.nan,) * 4
        blank = Optimum(batch, clip, *unknown, math.inf, math.nan, "unresolved", "", cells.seeds)
        peers = [peer for (_, other), peer in found.items() if other == clip and len(peer.x)]
        answers.append(_judged(blank, cells, peers, flat, level))
    return tuple(answers)


def vertices(rows: pd.DataFrame) -> tuple[Vertices, ...]:
    """The optima that plain analyses would report, sorted: how they differ is the shape's doubt.

    Args:
        rows: as for `optimum`; a batch size and clip without a loss is left out.

    Raises:
        ValueError: if a column is absent.
    """
    answers = []
    for (batch, clip), cells in _found(rows).items():
        if len(cells.x):
            inner = 0 < cells.best < len(cells.x) - 1
            three = cells.near(3).vertex(2) if inner else math.nan
            logs = (cells.x[cells.best], three, cells.vertex(2))
            answers.append(Vertices(batch, clip, *(math.exp(log) for log in logs)))
    return tuple(answers)


@dataclass(frozen=True)
class _Cells:
    """Learning rates of one batch size and clip at which no run diverged."""

    runs: Array  # rows of log lr, seed, loss
    diverged: Array  # log lr at which some run did
    x: Array  # log lr
    y: Array  # mean loss, seed offsets removed
    spread: Array  # covariance of y over the variance of noise, but for what all y share
    squares: float  # of what y and the offsets leave
    freedom: int
    seeds: int

    @classmethod
    def of(cls, runs: Array, diverged: Array) -> "_Cells":
        x, cell = np.unique(runs[:, 0], return_inverse=True)
        seeds, seed = np.unique(runs[:, 1], return_inverse=True)
        cells, own = np.eye(len(x))[cell], np.eye(len(seeds))[seed]
        design = np.column_stack([cells, own[:, 1:] - own[:, :1]])
        if len(x) and np.linalg.matrix_rank(design) < design.shape[1]:
            design = cells  # learning rates with seeds of their own: offsets are noise like any
        inverse = np.linalg.inv(design.T @ design)
        solution = inverse @ (design.T @ runs[:, 2])
        squares = float(np.square(runs[:, 2] - design @ solution).sum())
        y, spread = solution[: len(x)], inverse[: len(x), : len(x)]
        freedom = len(runs) - design.shape[1]
        return cls(runs, diverged, x, y, spread, squares, freedom, len(seeds))

    @property
    def best(self) -> int:
        return int(self.y.argmin())

    @property
    def walls(self) -> tuple[float, float]:
        """The nearest diverged learning rate on either side, in logs; -inf and inf if none."""
        below = self.diverged[self.diverged < self.x[0]].max(initial=-math.inf)
        above = self.diverged[self.diverged > self.x[-1]].min(initial=math.inf)
        return float(below), float(above)

    def near(self, count: int) -> "_Cells":
        """Up to `count` learning rates about the best, as if no others had been tried."""
        first = max(0, min(self.best - count // 2, len(self.x) - count))
        kept = np.isin(self.runs[:, 0], self.x[first : first + count])
        return _Cells.of(self.runs[kept], self.diverged)

    def whitened(self, columns: Array) -> Array:
        """Vectors over learning rates as if noise were independent and of variance 1, centred."""
        centred = np.eye(len(self.x)) - 1 / len(self.x)
        sizes, directions = np.linalg.eigh(centred @ self.spread @ centred)
        kept = sizes > 1e-9 * sizes[-1]  # all but what all learning rates share
        return columns @ directions[:, kept] / np.sqrt(sizes[kept])

    def roughness(self) -> float:
        """Square of what the cubic through five learning rates leaves: noise of one degree."""
        powers = self.whitened(np.vander(self.x - self.x.mean(), 4)[:, :3].T).T
        target = self.whitened(self.y)
        rest = target - powers @ np.linalg.lstsq(powers, target, rcond=None)[0]
        return float(rest @ rest)

    def vertex(self, degree: int) -> float:
        """Lowest point of the least-squares polynomial, in log lr; nan if there is none here."""
        if len(self.x) <= degree:
            return math.nan
        middle = self.x.mean()
        polynomial = np.polyfit(self.x - middle, self.y, degree)
        for root in np.roots(np.polyder(polynomial)):
            if np.isreal(root) and np.polyval(np.polyder(polynomial, 2), root.real) > 0:
                place = float(root.real) + float(middle)
                return place if self.x[0] <= place <= self.x[-1] else math.nan
        return math.nan


class _Bowl:
    """The bowl of least squares through some cells, and every other place of its optimum."""

    def __init__(self, cells: _Cells, ends: tuple[float, float], skew: float) -> None:
        self.cells, self.skew, self.target = cells, skew, cells.whitened(cells.y)
        places = np.linspace(*ends, 121)
        best = int(self.profile(places)[0].argmin())
        left, right = places[max(0, best - 1)], places[min(best + 1, 120)]
        for _ in range(8):  # ten times closer each
            fine = np.linspace(left, right, 21)
            squares, heights, skews = self.profile(fine)
            best = int(squares.argmin())
            left, right = fine[max(0, best - 1)], fine[min(best + 1, 20)]
        self.centre, self.height = float(fine[best]), float(heights[best])
        self.squares, bent = float(squares[best]), float(skews[best])
        rise = self.height * _linex(cells.x - self.centre, np.array(bent))
        self.level = float((cells.y - rise).mean())
        self.places = np.sort(np.append(places, self.centre))
        self.curve = self.profile(self.places)[0]

    def profile(self, places: Array) -> tuple[Array, Array, Array]:
        """Least squares, height and skew of the bowl whose optimum is at each place."""
        number = 9 if self.skew else 1
        low, high = np.full(len(places), -self.skew), np.full(len(places), self.skew)
        rows = np.arange(len(places))
        for _ in range(14 if self.skew else 1):  # four times closer each
            skews = np.linspace(low, high, number, axis=1)
            bowls = self.cells.whitened(_linex(self.cells.x - places[:, None, None], skews[..., None]))
            heights = np.maximum(0, bowls @ self.target / np.square(bowls).sum(-1))
            squares = np.square(self.target - heights[..., None] * bowls).sum(-1)
            best = squares.argmin(1)
            chosen, step = skews[rows, best], (high - low) / 8
            low, high = np.maximum(chosen - step, -self.skew), np.minimum(chosen + step, self.skew)
        return squares[rows, best], heights[rows, best], chosen

    def interval(self, reach: float) -> tuple[float, float]:
        """The outermost places whose squares exceed the least by `reach`."""
        inside = np.flatnonzero(self.curve <= self.squares + reach)
        return self._end(int(inside[0]), -1, reach), self._end(int(inside[-1]), 1, reach)

    def _end(self, at: int, way: int, reach: float) -> float:
        if not 0 <= at + way < len(self.places):
            return float(self.places[at])
        inner, outer = self.places[at], self.places[at + way]
        for _ in range(4):
            fine = np.linspace(inner, outer, 21)
            inside = self.profile(fine[1:])[0] <= self.squares + reach
            last = int(np.flatnonzero(np.append(True, inside))[-1])
            inner, outer = fine[last], fine[min(last + 1, 20)]
        return float(inner)


def _linex(z: Array, skew: Array) -> Array:
    """`scaling.bowls.linex` for many skews at once."""
    bent = np.clip(skew * z, -30, 30)
    small = np.abs(bent) < 1e-3
    large = np.where(small, 1.0, bent)
    series = 1 + bent / 3 + bent**2 / 12
    return z**2 * np.where(small, series, 2 * (np.expm1(large) - large) / large**2)


def _found(rows: pd.DataFrame) -> dict[tuple[float, float], _Cells]:
    """The cells of each batch size and clip, sorted."""
    if absent := [column for column in COLUMNS if column not in rows]:
        raise ValueError(f"`rows` lacks column {', '.join(absent)}; give those of results.read")
    clips, found = rows["clip"].fillna(math.inf), {}
    for (batch, clip), block in rows.groupby([rows["batch"], clips]):
        runs = block[["lr", "seed", "val_loss"]].to_numpy(float, copy=True)
        runs[:, 0] = np.log(runs[:, 0])
        diverged = (block["status"] == "diverged").to_numpy() | np.isposinf(runs[:, 2])
        lost = np.unique(runs[diverged, 0])
        done = (block["status"] == "done").to_numpy() & np.isfinite(runs[:, 2])
        kept = runs[done & ~np.isin(runs[:, 0], lost)]
        # the same run in two folders is one; another loss of the same seed is another measurement
        found[float(batch), float(clip)] = _Cells.of(np.unique(kept, axis=0), lost)
    return found


def _noise(own: _Cells, peers: list[_Cells]) -> tuple[float, int, str]:
    """Variance of a loss, its degrees of freedom, and where it is from."""
    if own.freedom >= FEW:
        return own.squares / own.freedom, own.freedom, "seeds"
    if freedom := sum(peer.freedom for peer in peers):
        return sum(peer.squares for peer in peers) / freedom, freedom, "seeds of all batch sizes"
    rough = [peer.near(5).roughness() for peer in peers if len(peer.x) >= 5]
    words = "what cubics leave, as there is one seed"
    return (sum(rough) / len(rough), len(rough), words) if rough else (math.nan, 0, "")


def _judged(
    blank: Optimum, cells: _Cells, peers: list[_Cells], flat: float, level: float
) -> Optimum:
    """The answer for some cells; `peers` are those of every batch size, their own included."""
    x, count = cells.x, len(cells.x)
    if not count and len(cells.diverged):
        return replace(blank, status="irregular", reason="a run diverged at every learning rate")
    if count and ((cells.diverged > x[0]) & (cells.diverged < x[-1])).any():
        reason = "a run diverged at a learning rate between others at which none did"
        return replace(blank, status="irregular", reason=reason)
    if count < 3:
        return replace(blank, reason=f"{count} learning rates have a loss; a bowl needs 3")
    variance, freedom, words = _noise(cells, peers)
    if not freedom:
        return _by_grid(blank, cells)

    differences = cells.y[:, None] - cells.y
    own = np.diag(cells.spread)
    errors = np.sqrt(max(variance, FINEST**2) * (own[:, None] + own - 2 * cells.spread).clip(0))
    if not len(cells.diverged):
        depth = (differences + stats.t.ppf(level, freedom) * errors).max()
        blank = replace(blank, depth=float(depth))
    surely = differences > stats.t.isf((1 - level) / count / (count - 1), freedom) * errors
    worse_than_lower = np.array([surely[j, :j].any() for j in range(count)])
    worse_than_higher = np.array([surely[j, j + 1 :].any() for j in range(count)])
    if (worse_than_lower & worse_than_higher).any():
        reason = "a learning rate is surely worse than one below it and than one above it"
        return replace(blank, status="irregular", reason=reason)
    if blank.depth < flat:
        reason = f"losses differ by at most {blank.depth:.2g} nats over the whole grid"
        return replace(blank, status="flat", reason=reason)

    below, above = cells.walls
    low = float(x[worse_than_higher].max(initial=below))
    high = float(x[worse_than_lower].min(initial=above))
    ...
