"""Random counts against their expected rate."""

from scipy import stats


def within(count: int, of: int, rate: float) -> bool:
    """Whether a count lies in the 99 % band of a binomial."""
    low, high = stats.binom.interval(0.99, of, rate)
    return bool(low <= count <= high)
