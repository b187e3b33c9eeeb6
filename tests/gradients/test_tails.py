"""Verdicts on samples of known laws, and refusals of samples that have none.

6 draws of each law; `make calibrate` takes 1,000 and prints the counts.
"""

import os
import re
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

import scaling
from scaling.gradients.tails import AXES, tail_shape

DRAWS = int(os.environ.get("SCALING_DRAWS", "6"))
SIZE = 20_000
VERDICTS = {
    "gaussian": "gaussian",
    "laplace": "laplace-like",
    "student_t_3": "heavy, finite variance",
    "cauchy": "infinite variance",
    "student_t_2": "cannot tell",
}
SEED = 21


def draw(law: str, rng: np.random.Generator, size=SIZE) -> np.ndarray:
    if law == "gaussian":
        return rng.normal(size=size)
    if law == "laplace":
        return rng.laplace(size=size)
    if law == "cauchy":
        return rng.standard_cauchy(size=size)
    return rng.standard_t(float(law.removeprefix("student_t_")), size=size)


def verdicts(law: str, samples) -> Counter:
    counts = Counter(tail_shape(sample).verdict for sample in samples)
    print(f"{law:<24}", ", ".join(f"{word} {n}" for word, n in counts.most_common()))
    return counts


def generators(name: str):
    return (np.random.default_rng([SEED, sum(map(ord, name)), i]) for i in range(DRAWS))


def mostly(count: int) -> bool:
    """At least 95 % of the draws, or all but one of a few."""
    return count >= min(0.95 * DRAWS, DRAWS - 1)


@pytest.mark.parametrize("law", VERDICTS)
def test_samples_of_a_known_law_get_its_verdict(law):
    counts = verdicts(law, (draw(law, rng) for rng in generators(law)))
    assert mostly(counts[VERDICTS[law]])


@pytest.mark.parametrize("law", ["student_t_5", "student_t_2.5"])
def test_finite_variance_is_never_called_infinite(law):
    counts = verdicts(law, (draw(law, rng) for rng in generators(law)))
    assert counts["infinite variance"] == 0
    assert counts["heavy, finite variance"] > 0


@pytest.mark.parametrize("law", ["lognormal", "stretched"])
def test_heavy_tails_that_follow_no_power_are_not_called_infinite(law):
    def sample(rng):
        signs = rng.choice([-1, 1], size=SIZE)
        return signs * (
            np.exp(2 * rng.normal(size=SIZE))  # Hill's index is 1.5 at the top 1 %
            if law == "lognormal"
            else rng.gamma(10 / 3, size=SIZE) ** (10 / 3)  # a generalised Gaussian of shape 0.3
        )

    assert verdicts(law, map(sample, generators(law)))["infinite variance"] == 0


def test_gaussians_of_unequal_variance_are_laplace_like_together_and_gaussian_each():
    def table(rng):
        return rng.normal(size=(200, 100)) * np.sqrt(rng.exponential(size=100))

    tables = [table(rng) for rng in generators("table")]
    assert mostly(verdicts("unequal, pooled", (t.ravel() for t in tables))["laplace-like"])
    assert mostly(verdicts("unequal, as a table", tables)["gaussian"])
    first = tail_shape(tables[0])
    assert (first.draws, first.values) == (200, SIZE)
    assert first.pooled.verdict == "laplace-like"
    assert first.pooled.excess_kurtosis == pytest.approx(stats.kurtosis(tables[0].ravel()))


@pytest.mark.parametrize("law", ["gaussian", "laplace"])
def test_tables_get_no_wrong_verdict_however_few_their_draws(law):
    for draws in (10, 50, 200):
        tables = (draw(law, rng, (draws, 10_000 // draws)) for rng in generators(law))
        counts = verdicts(f"{law}, {draws} draws", tables)
        assert mostly(counts[VERDICTS[law]] + counts["cannot tell"])
        if draws == 200:
            assert mostly(counts[VERDICTS[law]])


@pytest.mark.parametrize("law", ["cauchy", "student_t_2", "student_t_3"])
def test_draws_of_every_coordinate_show_infinite_variance_although_their_own_variance_bounds_them(
    law,
):
    tables = (draw(law, rng, (200, 50)) for rng in generators(law))
    counts = verdicts(f"{law}, 200 draws", tables)
    assert mostly(counts[VERDICTS[law]] + counts["cannot tell"])
    if law == "cauchy":
        assert mostly(counts[VERDICTS[law]])


@pytest.mark.parametrize("law", [*VERDICTS, "student_t_5"])
@pytest.mark.parametrize("size", [100, 1_000])
def test_small_samples_get_no_wrong_verdict(law, size):
    right = {VERDICTS.get(law, "heavy, finite variance"), "cannot tell"}
    if law == "student_t_5":  # 1,000 values of it are much like others
        right |= {"laplace-like", "gaussian"}
    counts = verdicts(f"{law}, {size}", (draw(law, rng, size) for rng in generators(law)))
    assert sum(counts[word] for word in right) >= min(0.9 * DRAWS, DRAWS - 1)


def test_a_verdict_has_its_numbers_beside_it():
    shape = scaling.tail_shape(draw("laplace", np.random.default_rng(0)), axis="coordinates")
    assert shape.axis == "coordinates"
    assert [shape.hill[share].k for share in (0.01, 0.05, 0.1, 0.2)] == [200, 1000, 2000, 4000]
    assert shape.shape in shape.bands["laplace"]["shape"]
    assert shape.hill[0.1].index in shape.bands["laplace"]["hill_10"]
    assert shape.hill[0.1].index not in shape.bands["student_t_3"]["hill_10"]
    assert "1 is Laplace" in shape.reason
    assert shape.pooled is None


def test_tensors_and_arrays_of_any_precision_are_judged_alike():
    values = draw("student_t_3", np.random.default_rng(0)).astype(np.float32)
    found = tail_shape(torch.tensor(values, requires_grad=True))
    assert found == tail_shape(values)
    assert tail_shape(torch.tensor(values[:2_000]).bfloat16()).verdict


def test_rows_of_an_embedding_without_a_gradient_are_left_out():
    values = draw("gaussian", np.random.default_rng(0))
    values[: SIZE // 2] = 0
    shape = tail_shape(values)
    assert (shape.values, shape.zeros, shape.verdict) == (SIZE // 2, SIZE // 2, "gaussian")
    table = values.reshape(200, 100).T.copy()  # half of the coordinates are always 0
    assert (tail_shape(table).zeros, tail_shape(table).verdict) == (SIZE // 2, "gaussian")


def test_coordinates_that_are_mostly_zero_are_judged_with_their_zeros():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 100)) * (rng.uniform(size=(50, 100)) < 0.1)  # rare tokens
    table[:, 0] = 0
    shape = tail_shape(table)
    assert (shape.values, shape.zeros) == (99 * 50, 50)
    assert shape.verdict in ("cannot tell", "heavy, finite variance")
    assert shape.excess_kurtosis > 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(1_000), "0 values beside 1000 that are 0 or do not vary must be at least 100"),
        (np.zeros((100, 100)), "0 values beside 10000 that are 0 or do not vary"),
        (np.ones(1_000), "1 different values are too few"),
        (np.resize([-1.0, 1.0], 1_000), "2 different values are too few"),
        (np.r_[np.nan, np.arange(999.0)], "1 of 1000 values are not finite"),
        (np.r_[np.inf, np.arange(999.0)], "1 of 1000 values are not finite"),
        (np.arange(1.0, 51), "50 values must be at least 100; draw more"),
        ([], "0 values must be at least 100"),
        (np.ones((9, 100)), "a table of 9 draws"),
        (np.ones((10, 10, 10)), "shape (10, 10, 10) must be a sample or a table"),
    ],
)
def test_samples_without_a_tail_are_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tail_shape(values)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValueError, match="axis=batches must be one of unstated, coordinates"):
        tail_shape(np.arange(200.0), axis="batches")
    for axis in AXES:
        assert tail_shape(np.random.default_rng(0).normal(size=200), axis=axis).axis == axis
