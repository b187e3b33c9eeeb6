"""The best learning rate of each batch size: an interval and a status, not a point.

For one batch size and clip the loss of learning rate j and seed s is L_js = m_j + D_s + noise: what
a seed does to all its runs, D_s, is no noise. About the lowest m a bowl A + K g(ln lr - ln LR_opt)
is fitted, where g is LINEX of any skew (`scaling.bowls`), which is z^2 at skew 0.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.floating]
Status = Literal["interior", "low_edge", "high_edge", "flat", "unresolved", "irregular"]

COLUMNS = ("batch", "lr", "clip", "seed", "status", "val_loss")
SKEW = 1.5  # the largest, as in `scaling.bowls`
FEW = 6  # degrees of freedom, below which noise is pooled over batch sizes
MISFIT = 0.1  # p-value below which a bowl is not believed
STRICT = 5  # `interior` needs a wider interval inside the grid, of an error rate this much smaller
FINEST = 1e-6  # nats: float32 losses are not known better, however well seeds agree


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


def optimum(rows: pd.DataFrame, *, flat: float = 0.02, level: float = 0.95) -> tuple[Optimum, ...]:
    """The optimum of each batch size and clip, sorted.

    The bowl goes through the five learning rates about the best, or as many more as it takes to
    see both its sides. The interval is that of a likelihood ratio, stretched to hold the lowest
    points of a parabola through three and of a cubic through five. On a side that no bowl shows,
    it ends at the nearest learning rate that is surely worse than one before it, or diverged.

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
        answers.append(_judged(blank, cells, peers, flat, 1 - level))
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
            three = cells.near(3).bottom(2)[0] if inner else math.nan
            whole = cells.bottom(2)[0]
            argmin = float(cells.lr[cells.best])
            answers.append(Vertices(batch, clip, argmin, math.exp(three), math.exp(whole)))
    return tuple(answers)


@dataclass(frozen=True)
class _Cells:
    """Learning rates of one batch size and clip at which no run diverged."""

    runs: Array  # rows of lr, seed, loss
    diverged: Array  # log lr at which some run did
    lr: Array
    x: Array  # log lr
    y: Array  # mean loss, seed offsets removed
    spread: Array  # covariance of y over the variance of noise, but for what all y share
    squares: float  # of what y and the offsets leave
    freedom: int
    seeds: int

    @classmethod
    def of(cls, runs: Array, diverged: Array) -> "_Cells":
        lr, cell = np.unique(runs[:, 0], return_inverse=True)
        seeds, seed = np.unique(runs[:, 1], return_inverse=True)
        cells, own = np.eye(len(lr))[cell], np.eye(len(seeds))[seed]
        design = np.column_stack([cells, own[:, 1:] - own[:, :1]])
        if len(lr) and np.linalg.matrix_rank(design) < design.shape[1]:
            design = cells  # learning rates with seeds of their own: offsets are noise as any
        inverse = np.linalg.inv(design.T @ design)
        solution = inverse @ (design.T @ runs[:, 2])
        squares = float(np.square(runs[:, 2] - design @ solution).sum())
        y, spread = solution[: len(lr)], inverse[: len(lr), : len(lr)]
        freedom = len(runs) - design.shape[1]
        return cls(runs, diverged, lr, np.log(lr), y, spread, squares, freedom, len(seeds))

    @property
    def best(self) -> int:
        return int(self.y.argmin())

    @property
    def walls(self) -> tuple[float, float]:
        """Log lr of the nearest diverged runs on either side; -inf and inf if there are none."""
        below = self.diverged[self.diverged < self.x[0]].max(initial=-math.inf)
        above = self.diverged[self.diverged > self.x[-1]].min(initial=math.inf)
        return float(below), float(above)

    def near(self, count: int) -> "_Cells":
        """Up to `count` learning rates about the best, as if no others had been tried."""
        first = max(0, min(self.best - count // 2, len(self.x) - count))
        kept = np.isin(self.runs[:, 0], self.lr[first : first + count])
        return _Cells.of(self.runs[kept], self.diverged)

    @property
    def whitener(self) -> Array:
        """Makes losses at learning rates a vector of white noise, less what they all share."""
        centred = np.eye(len(self.x)) - 1 / len(self.x)
        sizes, directions = np.linalg.eigh(centred @ self.spread @ centred)
        return directions[:, 1:] / np.sqrt(sizes[1:])

    def roughness(self) -> float:
        """The square that a cubic through five learning rates leaves: noise, of one degree."""
        powers = self.whitener.T @ np.vander(self.x - self.x.mean(), 4)[:, :3]
        target = self.y @ self.whitener
        rest = target - powers @ np.linalg.lstsq(powers, target, rcond=None)[0]
        return float(rest @ rest)

    def bottom(self, degree: int) -> tuple[float, float, float]:
        """Log lr, curvature and loss where a least-squares polynomial is lowest; nan if nowhere."""
        nowhere = (math.nan, math.nan, math.nan)
        if len(self.x) <= degree:
            return nowhere
        middle = float(self.x.mean())
        loss = np.poly1d(np.polyfit(self.x - middle, self.y, degree))
        for root in loss.deriv().roots:
            at, curvature = float(root.real), float(loss.deriv(2)(root.real))
            if np.isreal(root) and curvature > 0 and self.x[0] <= at + middle <= self.x[-1]:
                return at + middle, curvature, float(loss(at))
        return nowhere


class _Bowl:
    """The bowl of least squares through some cells, and what its optimum elsewhere would cost."""

    def __init__(self, cells: _Cells, ends: tuple[float, float]) -> None:
        self.x, self.whitener, self.target = cells.x, cells.whitener, cells.y @ cells.whitener
        near = places = np.linspace(*ends, 121)
        for _ in range(9):  # ten times closer each
            squares, heights, skews = self.profile(near)
            best = int(squares.argmin())
            at, height, skew = float(near[best]), float(heights[best]), skews[best]
            near = np.linspace(near[max(0, best - 1)], near[min(best + 1, len(near) - 1)], 21)
        self.squares = float(squares[best])
        self.gain = float(self.target @ self.target) - self.squares  # over no bowl
        self.bottom = at, 2 * height, float((cells.y - height * _linex(self.x - at, skew)).mean())
        self.places = np.sort(np.append(places, at))

    def profile(self, places: Array) -> tuple[Array, Array, Array]:
        """Least squares, height and skew of a bowl whose optimum is at each place."""
        low, high = np.full(len(places), -SKEW), np.full(len(places), SKEW)
        distances, rows = self.x - places[:, None, None], np.arange(len(places))
        for _ in range(14):  # four times closer each
            skews = np.linspace(low, high, 9, axis=1)
            bowls = _linex(distances, skews[..., None]) @ self.whitener
            heights = (bowls @ self.target / np.square(bowls).sum(-1)).clip(0)
            squares = np.square(self.target - heights[..., None] * bowls).sum(-1)
            best, step = squares.argmin(1), (high - low) / 8
            skew = skews[rows, best]
            low, high = (skew - step).clip(-SKEW), (skew + step).clip(max=SKEW)
        return squares[rows, best], heights[rows, best], skew

    def interval(self, reach: float) -> tuple[float, float]:
        """The outermost places at which squares exceed the least by no more than `reach`."""
        return -self._farthest(-self.places[::-1], -1, reach), self._farthest(self.places, 1, reach)

    def _farthest(self, places: Array, sign: int, reach: float) -> float:
        for _ in range(5):  # twenty times closer each
            inside = self.profile(sign * places)[0] <= self.squares + reach
            last = int(max(np.flatnonzero(inside), default=0))
            places = np.linspace(places[last], places[min(last + 1, len(places) - 1)], 21)
        return float(places[0])


class _Noise(NamedTuple):
    """How much losses of one learning rate scatter, seed offsets removed."""

    variance: float
    freedom: int
    source: str

    @classmethod
    def of(cls, own: _Cells, peers: list[_Cells]) -> "_Noise":
        """From the cells themselves, or from those of all batch sizes if that is too little."""
        pooled, source = [own], "its seeds"
        if own.freedom < FEW:
            pooled, source = peers, "the seeds of all batch sizes"
        squares, freedom = sum(c.squares for c in pooled), sum(c.freedom for c in pooled)
        if not freedom:
            rough = [peer.near(5).roughness() for peer in peers if len(peer.x) >= 5]
            squares, freedom = sum(rough), len(rough)
            source = "what cubics through five leave, as there is one seed"
        return cls(max(squares / max(1, freedom), FINEST**2), freedom, source)

    def reach(self, error: float, shape: int = 1) -> float:
        """What noise alone adds to a sum of `shape` squares, and exceeds at this rate."""
        return self.variance * shape * float(stats.f.isf(error, shape, self.freedom))


def _judged(
    blank: Optimum, cells: _Cells, peers: list[_Cells], flat: float, error: float
) -> Optimum:
    """The answer for some cells; `peers` are those of every batch size, their own included."""
    x, count = cells.x, len(cells.x)
    if not count and len(cells.diverged):
        return replace(blank, status="irregular", reason="a run diverged at every learning rate")
    if count and ((cells.diverged > x[0]) & (cells.diverged < x[-1])).any():
        reason = "a run diverged at a learning rate between others at which none did"
        return replace(blank, status="irregular", reason=reason)
    if count < 3:
        return replace(blank, reason=f"losses at {count} learning rates; a bowl needs 3")
    noise = _Noise.of(cells, peers)
    if not noise.freedom:
        return _by_grid(blank, cells)
    differences, own = cells.y[:, None] - cells.y, np.diag(cells.spread)
    errors = np.sqrt(noise.variance * (own[:, None] + own - 2 * cells.spread).clip(0))
    if not len(cells.diverged):
        depth = (differences + stats.t.isf(error, noise.freedom) * errors).max()
        blank = replace(blank, depth=float(depth))
    surely = differences > stats.t.isf(error / count / (count - 1), noise.freedom) * errors
    falls, rises = np.triu(surely).any(1), np.tril(surely).any(1)  # to one above, from one below
    if (falls & rises).any():
        reason = "a learning rate is surely worse than one below it and one above it"
        return replace(blank, status="irregular", reason=reason)
    if blank.depth < flat:
        reason = f"losses differ by at most {blank.depth:.2g} nats over the whole grid"
        return replace(blank, status="flat", reason=reason)
    below, above = cells.walls
    limits = float(x[falls].max(initial=below)), float(x[rises].min(initial=above))
    near = _Noise.of(cells.near(5), [peer.near(5) for peer in peers])
    return _located(blank, cells, limits, near, error)


def _located(
    blank: Optimum, cells: _Cells, limits: tuple[float, float], noise: _Noise, error: float
) -> Optimum:
    """Where the optimum is; beyond `limits` it surely is not, and infinite ones are no limits."""
    x, (below, above), (low, high) = cells.x, cells.walls, limits
    bottom, closed = cells.near(3).bottom(2), False
    points = [bottom[0], cells.near(5).bottom(3)[0]]
    reason = "no bowl fits, and learning rates outside the interval are surely worse or diverged"
    for bowl in _bowls(cells, noise, error):
        left, right = bowl.interval(noise.reach(error / STRICT))
        inner = bowl.interval(noise.reach(error))
        low = inner[0] if left > x[0] else limits[0]
        high = inner[1] if right < x[-1] else limits[1]
        if closed := left > x[0] and right < x[-1]:
            bottom = bowl.bottom if len(bowl.x) > 3 else bottom
            reason = f"a bowl through {len(bowl.x)} learning rates has both its sides in the grid"
            break
    if not closed:
        points.append(x[cells.best])
        points += [x[1]] * (low == below) + [x[-2]] * (high == above)  # it may turn in between
    low, high = float(np.nanmin([low, *points])), float(np.nanmax([high, *points]))
    return _stated(blank, cells, (low, high), bottom, f"{reason}; noise is that of {noise.source}")


def _bowls(cells: _Cells, noise: _Noise, error: float) -> Iterator[_Bowl]:
    """Bowls through ever more learning rates about the best, while they fit and surely bend."""
    x, (below, above) = cells.x, cells.walls
    ends = max(below, 2 * x[0] - x[-1]), min(above, 2 * x[-1] - x[0])
    for size in sorted({min(size, len(x)) for size in range(5, max(5, len(x)) + 2, 2)}):
        bowl = _Bowl(cells.near(size), ends)
        if size > 4 and bowl.squares > noise.reach(MISFIT, size - 4):
            return
        if bowl.gain > noise.reach(error, min(3, size - 1)):
            yield bowl


def _by_grid(blank: Optimum, cells: _Cells) -> Optimum:
    """The answer where nothing tells noise from shape."""
    words = "one seed and fewer than five learning rates leave the noise unknown"
    rising = np.diff(cells.y) > 0
    if (rising[:-1] & ~rising[1:]).any():
        return replace(blank, reason=f"{words}, and there are two dips")
    places = np.array([cells.walls[0], *cells.x, cells.walls[1]])
    neighbours = float(places[cells.best]), float(places[cells.best + 2])
    reason = f"{words}: the interval ends at the learning rates beside the best one"
    return _stated(blank, cells, neighbours, cells.near(3).bottom(2), reason)


def _stated(
    blank: Optimum,
    cells: _Cells,
    limits: tuple[float, float],
    bottom: tuple[float, float, float],
    reason: str,
) -> Optimum:
    """The answer for an optimum between `limits`, in log lr; infinite ones are beyond the grid."""
    x, (low, high), (at, curvature, loss) = cells.x, limits, bottom
    status: Status = "interior"
    if math.isinf(low) and math.isinf(high):
        reason = f"neither side of a bowl stands out from noise; {reason.rpartition('; ')[2]}"
        return replace(blank, reason=reason)
    if math.isinf(low):
        status, reason = "low_edge", f"the best lr may be below the lowest, {math.exp(x[0]):.3g}"
    if math.isinf(high):
        status, reason = "high_edge", f"the best lr may be above the highest, {math.exp(x[-1]):.3g}"
    lr = math.exp(min(max(at, x[0]), x[-1]))
    if status != "interior" or math.isnan(at):
        lr, curvature, loss = float(cells.lr[cells.best]), math.nan, float(cells.y[cells.best])
    return replace(
        blank, lr=lr, low=math.exp(low), high=math.exp(high), curvature=curvature, loss=loss,
        status=status, reason=reason,
    )  # fmt: skip


def _found(rows: pd.DataFrame) -> dict[tuple[float, float], _Cells]:
    """The cells of each batch size and clip, sorted."""
    if absent := [column for column in COLUMNS if column not in rows]:
        raise ValueError(f"`rows` lacks column {', '.join(absent)}; scaling.results.read gives it")
    clips, found = rows["clip"].fillna(math.inf), {}
    for key, block in rows.assign(clip=clips).groupby(["batch", "clip"]):
        runs = block[["lr", "seed", "val_loss"]].to_numpy(float, copy=True)
        done, endless = (block["status"] == "done").to_numpy(), np.isposinf(runs[:, 2])
        bad = np.unique(runs[(block["status"] == "diverged").to_numpy() | (done & endless), 0])
        kept = runs[done & np.isfinite(runs[:, 2]) & ~np.isin(runs[:, 0], bad)]
        # one run in two folders counts once; another loss of the same seed is another measurement
        batch, clip = np.array(key, float).tolist()
        found[batch, clip] = _Cells.of(np.unique(kept, axis=0), np.log(bad))
    return found


def _linex(z: Array, skew: Array) -> Array:
    """`scaling.bowls.linex` for many skews at once."""
    bent = np.clip(skew * z, -30, 30)
    series, large = 1 + bent / 3 + bent**2 / 12, np.where(np.abs(bent) < 1e-3, 1.0, bent)
    return z**2 * np.where(large == bent, 2 * (np.expm1(large) - large) / large**2, series)
