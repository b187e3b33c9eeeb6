"""The scatter of the losses at one learning rate: between seeds, or else about bowls."""

from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from scaling.analysis.loss_surface import Surface
from scaling.analysis.lr_curve import FINEST, NEAR, Curve

FEWEST = 3  # degrees of freedom; with fewer, t intervals are too wide to use
FEW = 6  # degrees of freedom, below which noise is pooled, or bowls of one shape are not believed


class LossVariance(NamedTuple):
    """The variance of the losses at one learning rate, without seed offsets, and its source."""

    value: float
    freedom: int
    source: str

    @classmethod
    def of(cls, curve: Curve, peers: Sequence[Curve], beside: Surface | None) -> "LossVariance":
        """Estimate it from the seeds near the best of a curve, or of all curves if seeds are few.

        With one seed, it is the scatter about bowls of one shape for all batch sizes. If the runs
        are too few to fit such bowls, it is the scatter about cubics through the five learning
        rates about the best, or through more. All misfit counts as noise.

        Args:
            curve: of one batch size.
            peers: the curves of all batch sizes, its own included.
            beside: surface through the runs of all batch sizes beside their best ones.
        """
        pooled, source = [curve.near(NEAR)], "its seeds"
        if pooled[0].freedom < FEW:
            pooled, source = [peer.near(NEAR) for peer in peers], "the seeds of all batch sizes"
        squares, freedom = sum(c.squares for c in pooled), sum(c.freedom for c in pooled)
        if not freedom and beside is not None and beside.freedom >= FEW:
            squares, freedom = beside.noise**2 * beside.freedom, beside.freedom
            source = "the scatter about bowls of one shape (too few seeds)"
        elif not freedom:
            most = max((len(peer.x) for peer in peers), default=0)
            for size in range(NEAR, most + 1):
                cubics = [peer.near(size) for peer in peers if len(peer.x) >= NEAR]
                squares = sum(cubic.roughness() for cubic in cubics)
                freedom = sum(len(cubic.x) - 4 for cubic in cubics)
                if freedom >= FEWEST:
                    break
            source = "the scatter about cubics near the best learning rate (too few seeds)"
        return cls(max(squares / max(1, freedom), FINEST**2), freedom, source)

    def reach(self, error: float, shape: int = 1) -> float:
        """The bound on a sum of `shape` squares that noise alone exceeds at this error rate."""
        return self.value * shape * float(stats.f.isf(error, shape, self.freedom))
