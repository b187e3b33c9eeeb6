"""The best learning rate of each batch size: an interval and a status, not a point.

For one batch size and clip the loss of learning rate j and seed s is L_js = m_j + D_s + noise: what
a seed does to all its runs, D_s, is no noise. About the lowest m a bowl A + K g(ln lr - ln LR_opt)
is fitted, where g is LINEX of any skew (`scaling.bowls`), which is z^2 at skew 0.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from scaling.bowls import linex

Array = NDArray[np.floating]
Status = Literal["interior", "low_edge", "high_edge", "flat", "unresolved", "irregular"]

COLUMNS = ("batch", "lr", "clip", "seed", "status", "val_loss")
FLAT = 0.02  # nats: a bowl that is surely shallower is no bowl
SKEW = 1.5  # the largest, as in `scaling.bowls`
FEW = 6  # degrees of freedom, below which noise is pooled over batch sizes
MISFIT = 0.05  # p-value below which a bowl is not believed
STRICT = 5  # `interior` needs a wider interval inside the grid, of an error rate so much smaller
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
    lr: float = math.nan
    low: float = math.nan
    high: float = math.nan
    curvature: float = math.nan  # second derivative of loss by log lr at the optimum; nan at edges
    depth: float = math.inf  # upper bound on worst less best loss of the grid; inf if there is none
    loss: float = math.nan  # at the optimum
    status: Status = "unresolved"
    reason: str = ""
    seeds: int = 0


@dataclass(frozen=True)
class Vertices:
    """What plain analyses of one batch size and clip call the best lr; nan where they find none."""

    batch: float
    clip: float
    argmin: float
    three: float  # lowest point of the parabola in log lr through it and its neighbours
    whole: float  # of the least-squares parabola through all learning rates


def optimum(rows: pd.DataFrame, *, flat: float = FLAT, level: float = 0.95) -> tuple[Optimum, ...]:
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
        blank = Optimum(batch, clip, seeds=cells.seeds)
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
            three = cells.near(3).bottom(2).place if inner else math.nan
            lrs = cells.lr[cells.best], math.exp(three), math.exp(cells.bottom(2).place)
            answers.append(Vertices(batch, clip, *map(float, lrs)))
    return tuple(answers)


class _Bottom(NamedTuple):
    """The lowest point of a curve; nan if it has none."""

    place: float = math.nan  # log lr
    curvature: float = math.nan
    loss: float = math.nan


@dataclass(frozen=True)
class _Cells:
    """Learning rates of one batch size and clip at which no run diverged."""

    runs: Array  # rows of lr, seed, loss
    diverged: Array  # log lr at which some run did
    lr: Array
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
        return cls(runs, diverged, lr, y, spread, squares, len(runs) - design.shape[1], len(seeds))

    @cached_property
    def x(self) -> Array:
        """Log lr."""
        return np.log(self.lr)

    @cached_property
    def best(self) -> int:
        return int(self.y.argmin())

    @cached_property
    def walls(self) -> tuple[float, float]:
        """Log lr of the nearest diverged runs on either side; -inf and inf if there are none."""
        below = self.diverged[self.diverged < self.x[0]].max(initial=-math.inf)
        above = self.diverged[self.diverged > self.x[-1]].min(initial=math.inf)
        return float(below), float(above)

    @cached_property
    def whitener(self) -> Array:
        """Makes losses at learning rates a vector of white noise, less what they all share."""
        centred = np.eye(len(self.x)) - 1 / len(self.x)
        sizes, directions = np.linalg.eigh(centred @ self.spread @ centred)
        return directions[:, 1:] / np.sqrt(sizes[1:])

    def near(self, count: int) -> "_Cells":
        """Up to `count` learning rates about the best, as if no others had been tried."""
        first = max(0, min(self.best - count // 2, len(self.x) - count))
        kept = np.isin(self.runs[:, 0], self.lr[first : first + count])
        return _Cells.of(self.runs[kept], self.diverged)

    def roughness(self) -> float:
        """The square that a cubic through five learning rates leaves: noise, of one degree."""
        powers = self.whitener.T @ np.vander(self.x - self.x.mean(), 4)[:, :3]
        losses = self.y @ self.whitener
        return float(np.square(losses - powers @ np.linalg.pinv(powers) @ losses).sum())

    def bottom(self, degree: int) -> _Bottom:
        """Where a least-squares polynomial in log lr has its minimum, if it does so here."""
        middle = float(self.x.mean())
        if len(self.x) > degree:
            loss = np.poly1d(np.polyfit(self.x - middle, self.y, degree))
            for root in loss.deriv().roots:
                at, curvature = float(root.real), float(loss.deriv(2)(root.real))
                if np.isreal(root) and curvature > 0 and self.x[0] <= at + middle <= self.x[-1]:
                    return _Bottom(at + middle, curvature, float(loss(at)))
        return _Bottom()


class _Bowls:
    """Bowls of least squares through some cells, one for each of some skews.

    For a skew k and u = ln lr - m, whatever m, A + K g(ln lr - ln LR_opt) is a + b u + c g(u) with
    K = c - k b / 2 and LR_opt = e^m (1 - k b / 2c)^(1/k): b and c are linear. In the plane of u and
    g(u), made orthonormal, every direction is a place of the optimum, and the cosine of its angle
    to the losses' is what it explains.
    """

    def __init__(self, cells: _Cells, skews: Array) -> None:
        self.skews = np.where(np.abs(skews) < 1e-6, 1e-6, skews)  # the formulas divide by it
        self.middle = float(cells.x.mean())
        u: NDArray[np.float64] = np.subtract(cells.x, self.middle, dtype=np.float64)
        losses = cells.y @ cells.whitener
        line, bowls = u @ cells.whitener, linex(u, self.skews[:, None]) @ cells.whitener
        self.length = float(np.linalg.norm(line))
        self.along = bowls @ line / self.length
        bowls = bowls - np.outer(self.along, line / self.length)
        self.across = np.linalg.norm(bowls, axis=1)
        across, along = bowls @ losses / self.across, losses @ line / self.length
        self.size, self.angle = np.hypot(along, across), np.arctan2(along, across)
        left, right = self.skews.clip(0) / 2, (-self.skews).clip(0) / 2  # c if b is 1, and -1
        self.left = np.arctan2(left * self.along + self.length, left * self.across)  # lr 0
        self.right = np.arctan2(right * self.along - self.length, right * self.across)  # lr inf
        self.nearest = self.angle.clip(self.right, self.left)
        self.gain = np.square(self.size * np.cos(self.angle - self.nearest).clip(0))  # over no bowl

    def places(self, angle: Array) -> Array:
        """Log lr of the optimum in each direction."""
        c = np.cos(angle) / self.across
        b = (np.sin(angle) - c * self.along) / self.length
        inner = (self.right < angle) & (angle < self.left)
        bent = np.where(inner, -self.skews * b / np.where(inner, 2 * c, 1), 0)
        place = self.middle + np.log1p(bent) / self.skews
        return np.where(inner, place, np.where(angle < 0, math.inf, -math.inf))

    def interval(self, gain: float) -> tuple[float, float]:
        """The outermost places of bowls that gain so much."""
        wide = np.arccos((math.sqrt(max(0, gain)) / self.size).clip(max=1))
        inside = self.gain >= gain
        left, right = self.places(self.angle + wide), self.places(self.angle - wide)
        return float(left[inside].min()), float(right[inside].max())


class _Bowl:
    """The bowl of least squares through some cells, of whatever skew."""

    def __init__(self, cells: _Cells) -> None:
        self.cells, skews = cells, np.linspace(-SKEW, SKEW, 61)
        for _ in range(8):  # ten times closer each
            bowls = _Bowls(cells, skews)
            best = int(bowls.gain.argmax())
            self.skew, self.gain = skews[best : best + 1], float(bowls.gain[best])
            skews = np.linspace(skews[max(0, best - 1)], skews[min(best + 1, len(skews) - 1)], 21)
        self.place = float(bowls.places(bowls.nearest)[best])
        self.squares = float(np.square(cells.y @ cells.whitener).sum()) - self.gain

    @property
    def bottom(self) -> _Bottom:
        bowl = linex(np.subtract(self.cells.x, self.place, dtype=np.float64), self.skew)
        white = bowl @ self.cells.whitener
        height = float(white @ (self.cells.y @ self.cells.whitener) / (white @ white))
        return _Bottom(self.place, 2 * height, float((self.cells.y - height * bowl).mean()))

    def interval(self, reach: float) -> tuple[float, float]:
        """The outermost places of the optimum at which squares exceed the least by `reach`."""
        first, last = -SKEW, SKEW
        for _ in range(5):  # closer about the skews that do
            skews = np.union1d(np.linspace(first, last, 61), self.skew)
            bowls = _Bowls(self.cells, skews)
            inside = np.flatnonzero(bowls.gain >= self.gain - reach)
            first, last = skews[max(0, inside[0] - 1)], skews[min(inside[-1] + 1, len(skews) - 1)]
        return bowls.interval(self.gain - reach)


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
            source = "what cubics through five learning rates leave, for want of seeds"
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
    x, (low, high) = cells.x, limits
    bottom, closed = cells.near(3).bottom(2), False
    points = [bottom.place, cells.near(5).bottom(3).place]
    reason = "no bowl fits with both its sides, but lrs beyond these are surely worse or diverged"
    for bowl in _bowls(cells, noise, error):
        left, right = bowl.interval(noise.reach(error / STRICT))
        inner = bowl.interval(noise.reach(error))
        low = inner[0] if left > x[0] else limits[0]
        high = inner[1] if right < x[-1] else limits[1]
        if closed := left > x[0] and right < x[-1]:
            size = len(bowl.cells.x)
            bottom = bowl.bottom if size > 3 else bottom  # three leave the skew open
            reason = f"a bowl through {size} learning rates has both its sides in the grid"
            break
    if not closed:
        points.append(x[cells.best])
        points += [x[1]] * (low == cells.walls[0]) + [x[-2]] * (high == cells.walls[1])
    low, high = float(np.nanmin([low, *points])), float(np.nanmax([high, *points]))
    return _stated(blank, cells, (low, high), bottom, f"{reason}; noise is that of {noise.source}")


def _bowls(cells: _Cells, noise: _Noise, error: float) -> Iterator[_Bowl]:
    """Bowls through ever more learning rates about the best, while they fit and surely bend."""
    most = len(cells.x)
    for size in sorted({min(size, most) for size in range(5, max(5, most) + 2, 2)}):
        bowl = _Bowl(cells.near(size))
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
    blank: Optimum, cells: _Cells, limits: tuple[float, float], bottom: _Bottom, reason: str
) -> Optimum:
    """The answer for an optimum between `limits`, in log lr; infinite ones are beyond the grid."""
    lrs, (low, high) = cells.lr, map(math.exp, limits)
    if low == 0 and high == math.inf:
        reason = f"neither side of a bowl stands out from noise; {reason.rpartition('; ')[2]}"
        return replace(blank, reason=reason)
    lr, loss = float(lrs[cells.best]), float(cells.y[cells.best])
    tried = replace(blank, lr=lr, low=min(low, lr), high=max(high, lr), loss=loss)
    if low == 0:
        reason = f"the best lr may be below the lowest, {lrs[0]:.3g}; smaller ones would tell"
        return replace(tried, status="low_edge", reason=reason)
    if high == math.inf:
        reason = f"the best lr may be above the highest, {lrs[-1]:.3g}; larger ones would tell"
        return replace(tried, status="high_edge", reason=reason)
    tried = replace(tried, low=low, high=high, status="interior", reason=reason)
    if math.isnan(bottom.place):
        return tried
    return replace(tried, lr=math.exp(bottom.place), curvature=bottom.curvature, loss=bottom.loss)


def _found(rows: pd.DataFrame) -> dict[tuple[float, float], _Cells]:
    """The cells of each batch size and clip, sorted."""
    if absent := [column for column in COLUMNS if column not in rows]:
        raise ValueError(f"`rows` lacks column {', '.join(absent)}; scaling.results.read gives it")
    clips, found = rows["clip"].astype(float).fillna(math.inf), {}
    for key, block in rows.assign(clip=clips).groupby(["batch", "clip"]):
        runs = block[["lr", "seed", "val_loss"]].to_numpy(float, copy=True)
        done, endless = (block["status"] == "done").to_numpy(), np.isposinf(runs[:, 2])
        bad = np.unique(runs[(block["status"] == "diverged").to_numpy() | (done & endless), 0])
        kept = runs[done & np.isfinite(runs[:, 2]) & ~np.isin(runs[:, 0], bad)]
        # one run in two folders counts once; another loss of the same seed is another measurement
        batch, clip = np.array(key, float).tolist()
        found[batch, clip] = _Cells.of(np.unique(kept, axis=0), np.log(bad))
    return found
