"""The law over several axes: exponents that are known, predictions of what was left out."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
from scipy import stats

from scaling import learning_rate_law
from scaling.analysis.axes_regression import Grids, fit_axes
from scaling.analysis.loss_lost import CurveLosses

DRAWS = max(3, int(os.environ.get("SCALING_DRAWS", "16")) * 3 // 10)  # 300 of `make calibrate`
OVER = ("batch", "parameters", "tokens")


def grids_of(seed: int) -> Grids:
    """Optima about a power law in three axes; the last grid has fewer curves."""
    rng = np.random.default_rng(seed)
    logs = np.tile(np.linspace(-1.5, 1.5, 5), (7, 1))
    axes = np.column_stack([np.ones(7), rng.normal(size=(7, 2))])
    there = np.ones((7, 5), bool)
    there[-1, 3:] = False
    mixed = rng.normal(size=(7, 5, 5)) * 0.02
    errors = mixed @ mixed.transpose(0, 2, 1) + 0.01 * np.eye(5)
    optima = axes @ [1.0, -0.7, 0.3] + 0.1 * rng.normal(size=7)
    optima = optima[:, None] + 0.4 * logs + 0.1 * rng.normal(size=(7, 5))
    return Grids(logs * there, optima * there, errors, there, axes)


def test_a_power_law_is_generalised_least_squares_and_its_scores_are_those_of_refits():
    grids = grids_of(0)
    fit = fit_axes("power", grids)
    grid, curve = np.nonzero(grids.there)
    design = np.column_stack([grids.axes[grid], grids.logs[grids.there]])
    covariance = np.zeros((len(grid), len(grid)))
    for i in range(7):
        own = np.flatnonzero(grid == i)
        covariance[np.ix_(own, own)] = grids.errors[i][np.ix_(curve[own], curve[own])]
        covariance[np.ix_(own, own)] += fit.between_grids
    covariance += fit.between_curves * np.eye(len(grid))

    def solved(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        precision = np.linalg.inv(covariance[np.ix_(kept, kept)])
        uncertain = np.linalg.inv(design[kept].T @ precision @ design[kept])
        target = grids.optima[grids.there][kept]
        return uncertain @ design[kept].T @ precision @ target, uncertain

    theta, uncertain = solved(np.arange(len(grid)))
    assert fit.theta == pytest.approx(theta, abs=1e-6)
    assert fit.covariance == pytest.approx(uncertain, rel=1e-5)
    for i in range(7):
        others, own = np.flatnonzero(grid != i), np.flatnonzero(grid == i)
        theta, uncertain = solved(others)
        spread = covariance[np.ix_(own, own)] + design[own] @ uncertain @ design[own].T
        missed = grids.optima[grids.there][own] - design[own] @ theta
        density = stats.multivariate_normal(cov=spread).logpdf(missed)
        assert fit.scores[i] == pytest.approx(density, abs=1e-4)


def test_the_variances_are_the_lowest_of_the_restricted_likelihood():
    grids = grids_of(1)
    fit = fit_axes("power", grids)
    slopes = np.concatenate([np.repeat(grids.axes[:, None], 5, 1), grids.logs[..., None]], 2)

    def deviance(between_grids: float, between_curves: float) -> float:
        total = grids.covariance(between_grids, between_curves)
        design, inverse = slopes * grids.there[..., None], np.linalg.inv(total)
        information = np.einsum("gij,gik,gkl->jl", design, inverse, design)
        missed = grids.optima - (slopes @ fit.theta) * grids.there
        sizes = np.linalg.slogdet(total)[1].sum() + np.linalg.slogdet(information)[1]
        return float(sizes + np.einsum("gi,gij,gj->", missed, inverse, missed))

    best = deviance(fit.between_grids, fit.between_curves)
    for factors in ((1.5, 1), (0.6, 1), (1, 1.5), (1, 0.6), (1.3, 0.7), (0.7, 1.3)):
        moved = (fit.between_grids * factors[0], fit.between_curves * factors[1])
        assert deviance(*moved) > best - 0.01


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_exponents_of_a_planted_law_over_three_axes_are_covered(seeds):
    """300 draws in `make calibrate`. Intervals may cover more often than 95 %, not less."""
    inside = {"parameters": [], "tokens": [], "turn by tokens": [], "turn by parameters": []}
    for draw in range(DRAWS):
        rows, exponents = planted.axes(np.random.default_rng([seeds, draw]), seeds)
        law = learning_rate_law(rows, over=OVER)
        assert law.form == "saturating"
        for key, estimate, truth in (
            ("parameters", law.exponents["parameters"], exponents["parameters"]),
            ("tokens", law.exponents["tokens"], exponents["tokens"]),
            ("turn by tokens", law.turn_exponents["tokens"], exponents["turn"]),
            ("turn by parameters", law.turn_exponents["parameters"], 0.0),
        ):
            inside[key].append(estimate.low <= truth <= estimate.high)
    for key, covered in inside.items():
        print(f"axes, seeds {seeds}: {key} covers {np.mean(covered):.3f} of {DRAWS}")
        assert sum(covered) >= stats.binom.ppf(0.005, DRAWS, 0.95)


@pytest.fixture(scope="module")
def sweeps() -> pd.DataFrame:
    return planted.axes(np.random.default_rng(5), 1)[0]


def test_each_curve_is_predicted_from_the_other_grids_and_new_ones_from_all(sweeps):
    law = learning_rate_law(sweeps, over=OVER)
    held = law.held_out
    assert len(held) == len(sweeps.drop_duplicates([*OVER]))
    assert held["loss_lost"].mean() < 0.3 * (sweeps["val_loss"] - 3).mean()
    known = held.merge(sweeps[[*OVER, "optimum"]].drop_duplicates())
    assert known["optimum"].between(known["low"], known["high"]).mean() > 0.9
    measured = known[known["best_lr"].notna()]
    error = np.abs(np.log(measured["best_lr"] / measured["optimum"]))
    assert (error <= measured["best_lr_error"]).mean() > 0.9
    table = pd.DataFrame({"batch": [64], "parameters": [3e8], "tokens": [2e10]}, index=["new"])
    predicted = law.predict(table)
    assert predicted.index.tolist() == ["new"]
    assert (predicted["low"] < predicted["lr"]).all()
    turn = law.turn(table)
    assert (turn["low"] < turn["batch"]).all()
    assert (turn["batch"] < turn["high"]).all()


def test_a_law_without_enough_grids_says_so_and_predicts_nothing(sweeps):
    few = sweeps[sweeps["parameters"] == sweeps["parameters"].min()]
    law = learning_rate_law(few[few["tokens"] < few["tokens"].max()], over=("batch", "tokens"))
    assert not law.identified
    assert law.reason == "grids with optima: 2; with 1 axis beside batch, 3 are needed"
    with pytest.raises(ValueError, match="no law to predict with: grids"):
        law.predict(few)
    edges = sweeps.assign(val_loss=sweeps["lr"])
    law = learning_rate_law(edges, over=OVER)
    assert not law.identified
    assert set(law.left_out) == {
        f"parameters={size:g}, tokens={length:g}"
        for size, length in sweeps[["parameters", "tokens"]].drop_duplicates().to_numpy()
    }


def crossed(sizes: int, lengths: int) -> pd.DataFrame:
    """Grids of one shape whose optima follow a power law in three axes."""
    rng, lines = np.random.default_rng(0), []
    for n in 1e8 * 2.0 ** np.arange(sizes):
        for d in 1e9 * 3.0 ** np.arange(lengths):
            for batch in (8, 16, 32, 64, 128):
                best = math.log(0.01) + 0.4 * math.log(batch / 32) - 0.5 * math.log(n / 1e8)
                for lr in np.geomspace(1e-4, 1.0, 13):
                    loss = 2 + 0.1 * (math.log(lr) - best) ** 2 + 0.002 * rng.standard_normal()
                    lines.append((batch, n, d, lr, loss))
    table = pd.DataFrame(lines, columns=[*OVER, "lr", "val_loss"])
    return table.assign(seed=0, status="done", clip=math.inf)


def test_the_fewest_grids_give_a_law_that_cannot_be_held_out():
    law = learning_rate_law(crossed(2, 2), over=OVER)
    assert law.identified
    assert law.exponents["parameters"].low <= -0.5 <= law.exponents["parameters"].high
    assert law.held_out.empty
    held = learning_rate_law(crossed(2, 3), over=OVER).held_out
    assert np.isfinite(held[["lr", "low", "high"]].to_numpy()).all()


def test_an_axis_that_only_one_grid_determines_does_not_predict_it():
    rows = crossed(2, 4)
    large = rows["parameters"] > 1e8
    law = learning_rate_law(rows[~large | (rows["tokens"] < 2e9)], over=OVER)
    assert law.identified
    assert set(law.held_out["parameters"]) == {1e8}
    flat = rows.assign(val_loss=rows["val_loss"].where(~large, 2.0 + rows["lr"]))
    law = learning_rate_law(flat, over=OVER)
    assert not law.identified
    assert law.reason == "parameters has one value among the grids with optima"


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_a_form_that_the_optima_do_not_determine_has_no_score_and_infinite_errors(unit):
    grids = grids_of(0)
    twice = np.column_stack([grids.axes, unit * grids.axes[:, -1]])
    for form in ("power", "saturating"):
        fit = fit_axes(form, replace(grids, axes=twice))
        assert fit.score == -math.inf
        assert np.isinf(fit.covariance).all()


def test_runs_that_failed_have_no_part_in_a_law():
    rows = crossed(2, 3)
    broken = rows.iloc[:3].assign(status=["failed", "corrupt", "interrupted"], tokens=np.nan)
    law = learning_rate_law(pd.concat([rows, broken]), over=OVER)
    assert law.exponents == learning_rate_law(rows, over=OVER).exponents


@pytest.mark.parametrize(
    ("change", "over", "message"),
    [
        ({}, ("parameters", "tokens"), "over=parameters,tokens must include batch"),
        ({}, ("batch",), "over=batch is the law of the batch size alone; leave over out"),
        ({}, ("batch", "width"), "no column width in this table"),
        ({}, ("batch", "lr"), "lr cannot be an axis of a law of the best lr"),
        ({}, "batch,tokens", "over='batch,tokens' must be a sequence of columns"),
        (
            {"model.width": lambda rows: np.where(rows["batch"] > 32, 64, 128)},
            OVER,
            "model.width has several values; give the runs of one at a time",
        ),
        ({"tokens": 1e10}, OVER, "tokens has one value; leave it out of the axes"),
        ({"tokens": 0.0}, OVER, "tokens must be positive numbers to be an axis"),
        (
            {"steps": lambda rows: rows["tokens"] / rows["batch"]},
            (*OVER, "steps"),
            "batch, tokens and steps are collinear; drop one",
        ),
        (
            {"layers": lambda rows: rows["tokens"] ** 0.5},
            (*OVER, "layers"),
            "tokens and layers are collinear; drop one",
        ),
        (
            {"optimizer": lambda rows: np.where(rows["batch"] > 32, "adam", "sgd")},
            OVER,
            "optimizer has several values; give the runs of one at a time",
        ),
    ],
)
def test_axes_that_determine_no_law_are_refused_by_name(sweeps, change, over, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        learning_rate_law(sweeps.assign(**change), over=over)


@pytest.mark.skipif("SCALING_DATA" not in os.environ, reason="SCALING_DATA is not set")
def test_public_grids_are_predicted_from_the_others():
    """1,911 language models of 17 grids (arXiv:2503.04715), one seed."""
    file = Path(os.environ["SCALING_DATA"], "steplaw", "dense.csv")
    if not file.exists():
        pytest.skip("steplaw is not in SCALING_DATA")
    names = {"bs": "batch", "smooth loss": "val_loss", "N": "parameters", "D": "tokens"}
    rows = pd.read_csv(file).rename(columns=names).assign(seed=0, status="done")
    law = learning_rate_law(rows, over=OVER)
    assert (law.form, law.tied) == ("saturating", ("saturating",))
    held = law.held_out
    assert held["loss_lost"].mean() < 0.0020
    assert held["loss_lost_cubic"].mean() < 0.0010
    known = held[held["best_lr"].notna()]
    error = np.abs(np.log(known["lr"] / known["best_lr"]))
    half = np.log(known["high"] / known["low"]) / 2
    assert 0.90 <= (error <= np.hypot(half, known["best_lr_error"])).mean() <= 0.99
    assert math.exp(2 * half.median()) <= 2.2
    short = rows["tokens"] < 4.99e10
    law, lost = learning_rate_law(rows[short], over=OVER), []
    for key, curve in rows[~short].groupby([*OVER]):
        (lr,) = law.predict(pd.DataFrame([key], columns=[*OVER]))["lr"]
        losses = curve.groupby("lr")["val_loss"].mean()
        measured = CurveLosses(np.log(losses.index.to_numpy()), losses.to_numpy())
        lost.append(measured.through_runs(math.log(lr)))
    assert np.mean(lost) < 0.0015
