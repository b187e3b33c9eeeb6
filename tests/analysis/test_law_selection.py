"""Four laws are compared, and a tie is reported if the optima cannot distinguish them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling import results
from scaling.analysis import law_selection

BATCHES = 8 * 2 ** np.arange(7)
TRUE = {
    "constant": lambda b: np.full(len(b), 0.01),
    "power": lambda b: 1e-3 * b**0.5,
    "saturating": lambda b: 0.05 / (1 + 60 / b),
    "surge": lambda b: 0.05 / (0.5 * (np.sqrt(60 / b) + np.sqrt(b / 60))),
}


def rows(law: str, noise: float, seed: int = 0, batches=BATCHES) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    grid = np.log(0.01) + (np.arange(9) - 4) * np.log(10) / 2
    optima = np.log(TRUE[law](batches))
    return pd.DataFrame(
        [
            {"batch": batch, "lr": np.exp(x), "seed": s, "status": "done",
             "val_loss": 2 + 0.05 * (x - optimum) ** 2 + noise * rng.standard_normal()}
            for batch, optimum in zip(batches, optima, strict=True)
            for x in grid
            for s in range(4)
        ]
    )  # fmt: skip


@pytest.mark.parametrize("law", TRUE)
def test_the_planted_law_is_found_with_its_parameters(law):
    found = law_selection.candidates(rows(law, noise=0.004))
    best = found.fits[0]
    assert best.name == law
    assert best.behind == 0
    parameters = dict(best.parameters)
    if law in ("saturating", "surge"):
        assert parameters["lr"] == pytest.approx(0.05, rel=0.15)
        assert parameters["batch"] == pytest.approx(60, rel=0.3)
    if law == "power":
        assert parameters["exponent"] == pytest.approx(0.5, abs=0.05)
        assert parameters["lr"] == pytest.approx(1e-3, rel=0.2)
    if law == "constant":
        assert parameters["lr"] == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("law", TRUE)
def test_the_planted_law_is_rarely_lost(law):
    tied = [law_selection.candidates(rows(law, noise=0.05, seed=seed)).tied for seed in range(12)]
    assert sum(law in names for names in tied) >= 10


def test_few_batch_sizes_in_much_noise_are_a_tie():
    tied = law_selection.candidates(rows("saturating", noise=0.3, batches=BATCHES[2:7])).tied
    assert len(tied) > 1


def test_leaving_a_batch_size_out_agrees_with_a_loop_if_precisions_are_equal():
    logs = np.log(BATCHES.astype(float))
    optima = np.log(TRUE["power"](BATCHES)) + np.random.default_rng(0).normal(0, 0.1, 7)
    found = law_selection._candidate("power", logs, optima, np.eye(7) / 0.01)
    errors = []
    for i in range(7):
        slope, level = np.polyfit(np.delete(logs, i), np.delete(optima, i), 1)
        errors.append(level + slope * logs[i] - optima[i])
    assert found.left_out == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    slope, level = np.polyfit(logs, optima, 1)
    squares = np.sum((optima - level - slope * logs) ** 2) / 0.01
    assert found.aicc == pytest.approx(squares + 4 + 12 / 4)


def test_without_an_identified_law_there_is_nothing_to_compare():
    found = law_selection.candidates(rows("power", noise=0.01).query("seed == 0"))
    assert found.fits == ()
    assert "seeds: 1" in found.reason


def test_four_batch_sizes_are_too_few_for_two_parameters():
    assert (
        "4 batch sizes" in law_selection.candidates(rows("power", 0.01, batches=BATCHES[:4])).reason
    )


def test_optima_of_a_surface_that_does_not_fit_are_not_compared():
    examples = results.read(Path(__file__).parents[2] / "notebooks" / "data" / "fixed_examples.csv")
    found = law_selection.candidates(examples)
    assert (found.fits, found.tied) == ((), ())
    assert "do not fit all batch sizes" in found.reason
