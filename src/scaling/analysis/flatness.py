"""The rise of the loss beside its optimum below which the optimum is flat.

This is a test of equivalence by two one-sided tests (Schuirmann, J. Pharmacokin. Biopharm. 15,
1987): the optimum is flat if the upper bound of the rise is below a threshold that is fixed
beforehand. The threshold does not depend on the noise.
"""

import math

FACTOR = math.log(4)  # of lr, within which the rise is judged
SHARE = 1e-3  # of the lowest loss
LEAST = 1e-3  # nats


def flat_below(loss: float, flat: float | None = None) -> float:
    """The rise in nats below which an optimum is flat.

    Args:
        loss: the lowest, in nats.
        flat: the rise, if it was chosen; else 0.1 % of the loss, and at least 0.001 nats.
    """
    return max(LEAST, SHARE * loss) if flat is None else flat


def words(rise: float, below: float) -> str:
    """The bound of the rise, and the threshold that it is compared to."""
    return (
        f"within a factor of 4 in lr of the best, the loss rises by at most {rise:.2g}, which is "
        f"below {below:.2g}"
    )
