"""Bands of each tail statistic for samples of known laws, simulated once and stored.

`python -m scaling.gradients.tail_bands` simulates them again and prints the file (minutes).
"""

import csv
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scaling.gradients.tail_fits import SHARES, tail_fit

LAWS = ("gaussian", "laplace", "student_t_3", "student_t_2")
STATISTICS = (
    *("shape", "excess_kurtosis", "degrees", "preference"),
    *(f"hill_{100 * share:g}" for share in SHARES),
)
QUANTILES = (0.025, 0.5, 0.975)
SIMULATIONS = 1000
FILE = Path(__file__).with_name("tail_bands.csv")

SAMPLES = (100, 200, 500, 1000, 2000, 5000, 20_000, 100_000)
TABLES = {  # draws of each coordinate -> numbers of coordinates
    10: (10, 50, 200, 2000),
    20: (5, 25, 100, 1000),
    50: (2, 10, 40, 400),
    200: (1, 3, 10, 100),
    1000: (1, 2, 5, 20),
}


class Band(NamedTuple):
    """The range of a statistic in 95 % of the samples of a law, and its median."""

    low: float
    middle: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


Bands = Mapping[str, Mapping[str, Band]]  # law -> statistic -> band


def standardised(table: np.ndarray) -> np.ndarray:
    """Each coordinate of a table (draws, coordinates) with mean 0 and variance 1."""
    centred = table - table.mean(axis=0)
    return centred / np.sqrt((centred**2).mean(axis=0))


def bands(values: int, draws: int = 0, *, shared: bool = False) -> Bands:
    """Bands of every statistic for samples of the size and dependence given.

    Interpolated between simulated sizes. A sample larger than those simulated gets the bands of the
    largest one, which are too wide rather than too narrow.

    Args:
        values: in the sample, in all.
        draws: of each coordinate, if the sample is a table; 0 for independent values.
        shared: whether the table is pooled as it is, so that draws of one coordinate share its
            scale; else each coordinate was standardised.
    """
    if not draws or draws >= values:
        return {law: _at(values, 0, "independent", law) for law in LAWS}
    kind = "shared" if shared else "standardised"
    return {law: _at(values, draws, kind, law) for law in LAWS}


def _at(values: int, draws: int, kind: str, law: str) -> dict[str, Band]:
    """Bands of a law, interpolated over the size and then over the draws of a coordinate."""
    if not draws:
        numbers = _over_sizes(_stored()[law, "independent", 0], values)
    else:
        rows = [_over_sizes(_stored()[law, kind, each], values) for each in TABLES]
        rows.append(_over_sizes(_stored()[law, "independent", 0], values))
        numbers = _between(1 / draws, [*(1 / each for each in TABLES), 0.0], rows)
    return {
        name: Band(*column) for name, column in zip(STATISTICS, numbers.T.tolist(), strict=True)
    }


def _over_sizes(stored: Mapping[int, np.ndarray], values: int) -> np.ndarray:
    """Quantiles x statistics at a size; spreads fall as its inverse root, so that is the axis."""
    return _between(values**-0.5, [size**-0.5 for size in stored], list(stored.values()))


def _between(x: float, points: list[float], rows: list[np.ndarray]) -> np.ndarray:
    """Linear interpolation over descending points, constant beyond them."""
    x = min(max(x, points[-1]), points[0])
    after = max(1, sum(point > x for point in points))
    left, right = points[after - 1], points[after]
    share = (left - x) / (left - right)
    with np.errstate(invalid="ignore"):  # inf - inf, of degrees of freedom
        mixed = (1 - share) * rows[after - 1] + share * rows[after]
    nearer = rows[after] if share > 0.5 else rows[after - 1]
    return np.where(np.isfinite(mixed), mixed, nearer)


@cache
def _stored() -> Mapping[tuple[str, str, int], Mapping[int, np.ndarray]]:
    """(law, kind, draws) -> values -> quantiles x statistics; sizes ascend."""
    blocks: dict[tuple[str, str, int], dict[int, np.ndarray]] = {}
    with FILE.open(newline="") as lines:
        for line in csv.DictReader(lines):
            key = line["law"], line["kind"], int(line["draws"])
            shape = len(QUANTILES), len(STATISTICS)
            rows = blocks.setdefault(key, {}).setdefault(int(line["values"]), np.empty(shape))
            place = QUANTILES.index(float(line["quantile"]))
            rows[place] = [float(line[name] or "nan") for name in STATISTICS]
    return blocks


def simulate(law: str, kind: str, draws: int, coordinates: int, repeats: int) -> np.ndarray:
    """Quantiles x statistics of simulated samples, from a seed of the arguments.

    Args:
        law: one of `LAWS`.
        kind: `independent`; `standardised` per coordinate; or `shared`: Gaussian draws whose
            variance is drawn once per coordinate, so that pooled values have the law.
        draws: of each coordinate.
        coordinates: in the sample.
        repeats: samples.
    """
    seed = [LAWS.index(law), len(kind), draws, coordinates]
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(repeats):
        if kind == "shared":
            sample = rng.normal(size=(draws, coordinates)) * _scales(law, coordinates, rng)
        else:
            sample = _draw(law, (draws, coordinates), rng)
        if kind == "standardised":
            sample = standardised(sample)
        *numbers, hills = tail_fit(sample.ravel())
        fits.append([*numbers, *hills])
    return np.quantile(np.array(fits), QUANTILES, axis=0, method="nearest")


def _draw(law: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if law == "gaussian":
        return rng.normal(size=size)
    if law == "laplace":
        return rng.laplace(size=size)
    return rng.standard_t(int(law.removeprefix("student_t_")), size=size)


def _scales(law: str, coordinates: int, rng: np.random.Generator) -> np.ndarray:
    """Standard deviations of Gaussians that have the law together (Andrews and Mallows 1974)."""
    if law == "gaussian":
        return np.ones(coordinates)
    if law == "laplace":
        return np.sqrt(rng.exponential(size=coordinates))
    degrees = int(law.removeprefix("student_t_"))
    return np.sqrt(degrees / rng.chisquare(degrees, size=coordinates))


def main() -> None:
    """Print the file of bands."""
    print(",".join(["law", "kind", "draws", "values", "quantile", *STATISTICS]))
    grid = [("independent", size, 1) for size in SAMPLES]
    for kind in ("standardised", "shared"):
        grid += [(kind, draws, n) for draws, coordinates in TABLES.items() for n in coordinates]
    for law in LAWS:
        for kind, draws, coordinates in grid:
            key = law, kind, 0 if kind == "independent" else draws, draws * coordinates
            quantiles = simulate(law, kind, draws, coordinates, SIMULATIONS)
            for quantile, numbers in zip(QUANTILES, quantiles, strict=True):
                shown = ("" if math.isnan(x) else f"{x:.4g}" for x in numbers)
                print(",".join([*map(str, key), f"{quantile:g}", *shown]), flush=True)


if __name__ == "__main__":
    main()
