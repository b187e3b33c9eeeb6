"""The LINEX bowl, and its fit to the losses of one batch size, in closed form except the skew."""

import math

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.lr_curve import Array, Bottom, Curve

SKEW = 3.0  # the largest


def linex(z: NDArray[np.float64], skew: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The LINEX bowl, z^2 at skew 0; `z` and `skew` broadcast."""
    bent = np.clip(skew * z, -30, 30)
    series, large = 1 + bent / 3 + bent**2 / 12, np.where(np.abs(bent) < 1e-3, 1.0, bent)
    return z**2 * np.where(large == bent, 2 * (np.expm1(large) - large) / large**2, series)


def linex_by_skew(z: NDArray[np.float64], skew: float) -> NDArray[np.float64]:
    """Derivative of the LINEX bowl by its skew; z^3 / 3 at skew 0."""
    bent = skew * z
    clipped = np.abs(bent) > 30  # as in `linex`, whose factor of z^2 is then constant
    series = 1 / 3 + bent / 6 + bent**2 / 20 + bent**3 / 90
    large = np.where((np.abs(bent) < 1e-2) | clipped, 1.0, bent)
    grown = np.expm1(large)
    exact = 2 * (large * grown - 2 * (grown - large)) / large**3
    return z**3 * np.where(large == bent, exact, np.where(clipped, 0.0, series))


class Bowls:
    """Least-squares bowls through a curve, one for each skew.

    For a skew k and u = ln lr - m with any m, A + K g(ln lr - ln LR_opt) is a + b u + c g(u) with
    K = c - k b / 2 and LR_opt = e^m (1 - k b / 2c)^(1/k): b and c are linear. In an orthonormal
    basis of the plane of u and g(u), each direction stands for one optimum. The cosine of its angle
    to the losses measures how much of them it explains.
    """

    def __init__(self, curve: Curve, skews: Array) -> None:
        self.skews = np.where(np.abs(skews) < 1e-6, 1e-6, skews)  # the formulas divide by it
        self.middle = float(curve.x.mean())
        u: NDArray[np.float64] = np.subtract(curve.x, self.middle, dtype=np.float64)
        losses = curve.y @ curve.whitener
        line, bowls = u @ curve.whitener, linex(u, self.skews[:, None]) @ curve.whitener
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
        # in squares, over a constant
        self.gain = np.square(self.size * np.cos(self.angle - self.nearest).clip(0))

    def places(self, angle: Array) -> Array:
        """Log lr of the optimum in each direction."""
        c = np.cos(angle) / self.across
        b = (np.sin(angle) - c * self.along) / self.length
        inner = (self.right < angle) & (angle < self.left)
        bent = np.where(inner, -self.skews * b / np.where(inner, 2 * c, 1), 0)
        place = self.middle + np.log1p(bent) / self.skews
        return np.where(inner, place, np.where(angle < 0, math.inf, -math.inf))

    def interval(self, gain: float) -> tuple[float, float]:
        """The outermost optima of the bowls with at least this gain."""
        wide = np.arccos((math.sqrt(max(0, gain)) / self.size).clip(max=1))
        inside = self.gain >= gain
        left, right = self.places(self.angle + wide), self.places(self.angle - wide)
        return float(left[inside].min()), float(right[inside].max())


class Bowl:
    """The least-squares bowl through a curve, of any skew."""

    def __init__(self, curve: Curve) -> None:
        self.curve, skews = curve, np.linspace(-SKEW, SKEW, 61)
        for _ in range(8):  # each time ten times finer
            bowls = Bowls(curve, skews)
            best = int(bowls.gain.argmax())
            self.skew, self.gain = skews[best : best + 1], float(bowls.gain[best])
            skews = np.linspace(skews[max(0, best - 1)], skews[min(best + 1, len(skews) - 1)], 21)
        self.place = float(bowls.places(bowls.nearest)[best])
        self.squares = float(np.square(curve.y @ curve.whitener).sum()) - self.gain

    @property
    def bottom(self) -> Bottom:
        bowl = linex(np.subtract(self.curve.x, self.place, dtype=np.float64), self.skew)
        white = bowl @ self.curve.whitener
        height = float(white @ (self.curve.y @ self.curve.whitener) / (white @ white))
        loss = float((self.curve.y - height * bowl).mean())
        return Bottom(self.place, 2 * height, loss, float(self.skew[0]))

    def interval(self, reach: float) -> tuple[float, float]:
        """The outermost optima whose sum of squares exceeds the minimum by at most `reach`."""
        first, last = -SKEW, SKEW
        for _ in range(5):  # each time finer around the skews that qualify
            skews = np.union1d(np.linspace(first, last, 61), self.skew)
            bowls = Bowls(self.curve, skews)
            inside = np.flatnonzero(bowls.gain >= self.gain - reach)
            first, last = skews[max(0, inside[0] - 1)], skews[min(inside[-1] + 1, len(skews) - 1)]
        return bowls.interval(self.gain - reach)
