"""A law has an interval, or there is a reason why no law is reported."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
from rows import published
from scipy import stats

from scaling.analysis import optima, powerlaws
from scaling.analysis.plain_fit import plain_fit
from scaling.analysis.sweep_optima import sweep_optima


def wide(seed: int = 0, **settings) -> planted.Draw:
    return planted.bowl(np.random.default_rng(seed), "wide", **settings)


def test_losses_without_noise_give_the_exact_law():
    draw = wide(noise=1e-9)
    law = powerlaws.learning_rate_law(draw.rows)
    assert law.identified
    assert law.exponent == pytest.approx(draw.exponent, abs=1e-5)
    for batch, lr, low, high in law.optima:
        assert lr == pytest.approx(law.constant * batch**law.exponent)
        assert low <= lr <= high
    assert law.contains(draw.exponent + 1e-3) is False


def test_the_order_of_rows_and_the_names_of_seeds_do_not_matter():
    rows = wide(1).rows
    law = powerlaws.learning_rate_law(rows)
    other = rows.sample(frac=1, random_state=0).assign(seed=lambda r: 40 - 3 * r["seed"])
    again = powerlaws.learning_rate_law(other)
    assert again.exponent == pytest.approx(law.exponent, abs=1e-4)
    assert again.high - again.low == pytest.approx(law.high - law.low, rel=0.1)


def test_scaling_all_losses_or_all_rates_changes_no_exponent():
    rows = wide(2).rows
    law = powerlaws.learning_rate_law(rows)
    again = powerlaws.learning_rate_law(
        rows.assign(val_loss=7 + 3 * rows["val_loss"], lr=rows["lr"] / 50)
    )
    assert again.exponent == pytest.approx(law.exponent, abs=1e-4)
    assert again.constant == pytest.approx(law.constant / 50, rel=1e-3)


def test_if_bowls_of_one_shape_do_not_fit_minima_are_found_separately():
    rows, exponent = planted.noisy_quadratic(np.random.default_rng(0))
    law = powerlaws.learning_rate_law(rows)
    assert sweep_optima(rows).local
    assert law.low < exponent < law.high


def test_one_seed_gives_a_law_without_the_variation_between_seeds():
    one = powerlaws.learning_rate_law(wide(3, seeds=1).rows)
    three = powerlaws.learning_rate_law(wide(3, seeds=3).rows)
    assert (one.seeds, one.between_seeds) == (1, False)
    assert (three.seeds, three.between_seeds) == (3, True)
    assert 0 < one.high - one.low < 1


def test_seeds_that_tilt_widen_the_interval_to_the_t_interval_over_their_slopes():
    draw = planted.bowl(np.random.default_rng(3), "tilting", noise=1e-6, seeds=3, batches=6)
    law = powerlaws.learning_rate_law(draw.rows)
    slopes = []
    for _, rows in draw.rows.groupby("seed"):
        minima = []
        for _, curve in rows.groupby("batch"):
            a, b, _ = np.polyfit(np.log(curve["lr"]), curve["val_loss"], 2)
            minima.append(-b / a / 2)
        slopes.append(np.polyfit(draw.logs, minima, 1)[0])
    reach = stats.t.ppf(0.975, 2) * np.std(slopes, ddof=1) / math.sqrt(3)
    assert (law.high - law.low) / 2 == pytest.approx(reach, rel=0.05)
    assert law.exponent == pytest.approx(np.mean(slopes), abs=0.01)


def test_diverged_runs_are_a_wall_and_no_reason_to_refuse():
    draw = planted.bowl(np.random.default_rng(1), "wide", seeds=1, noise=0.05)
    x, best = np.log(draw.rows["lr"]), draw.rows.groupby("batch")["val_loss"].idxmin()
    optima = draw.rows["batch"].map(draw.rows.loc[best].set_index("batch")["lr"])
    right = x > np.log(optima)
    walled = draw.rows.assign(
        status=np.where(right, "diverged", "done"), val_loss=draw.rows["val_loss"].where(~right)
    )
    law = powerlaws.learning_rate_law(walled)
    assert law.identified
    assert law.unstable == right.sum()
    missing = powerlaws.learning_rate_law(walled[~right])
    assert "significantly rise above" in missing.reason


DRAWS = int(os.environ.get("SCALING_DRAWS", "16"))


def far(count: int, noise: float, seed: int) -> pd.DataFrame:
    """A saturating bowl at five batch sizes, on `count` learning rates to each side of its optima.

    Its left side flattens and its right side is steep, as one step of SGD on a quadratic.
    """
    rng, lines = np.random.default_rng(seed), []
    grid = np.log(0.03) + np.arange(-count, count + 1) * np.log(2)
    for i, batch in enumerate((8, 16, 32, 64, 128)):
        z = grid - np.log(0.03) - 0.5 * (i - 2) * np.log(2)
        losses = 2 + 0.05 * (np.exp(z) - 1) ** 2 + noise * 0.05 * rng.standard_normal(len(z))
        lines += [
            {"batch": batch, "lr": np.exp(x), "val_loss": y, "seed": 0, "status": "done"}
            for x, y in zip(grid, losses, strict=True)
        ]
    return pd.DataFrame(lines)


def test_learning_rates_far_away_never_lose_a_law_or_widen_its_interval():
    """At least 95 of 100 draws; 16 here, at the 1 % point of their binomial distribution."""
    kept = 0
    for seed in range(DRAWS):
        rows = far(7, 0.1, seed)
        near = rows[np.abs(np.log(rows["lr"] / 0.03)) < 4.5 * np.log(2)]
        law, more = powerlaws.learning_rate_law(near), powerlaws.learning_rate_law(rows)
        wider = (more.high - more.low) <= 1.1 * (law.high - law.low)
        kept += not law.identified or (more.identified and wider)
    assert kept >= stats.binom.ppf(0.01, DRAWS, 0.95)


def extended(family: str, seeds: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Planted sweeps without and with the learning rates far from every optimum.

    Far means more than two and a half steps beyond the outermost optima. Each batch size has five
    lrs or more that are near, so the five about its best do not change.
    """
    for seed in range(DRAWS):
        if family == "far":
            rows = far(7, 0.1, seed).assign(clip=np.inf)
            near = np.abs(np.log(rows["lr"] / 0.03)) < 4.5 * np.log(2)
        else:
            rows = planted.bowl(np.random.default_rng(seed), family, seeds=seeds).rows
            means = rows.groupby(["batch", "lr"])["val_loss"].mean().unstack()
            best, x = np.log(means.idxmin(axis=1)), np.log(rows["lr"])
            reach = 2.6 * np.diff(np.log(means.columns)).mean()
            near = (x > best.min() - reach) & (x < best.max() + reach)
        if not near.all() and rows[near].groupby("batch")["lr"].nunique().min() >= 5:
            yield rows[near], rows


@pytest.mark.parametrize(
    ("family", "seeds"), [("far", 1), ("wide", 1), ("wide", 3), ("missing", 1), ("curved", 3)]
)
def test_learning_rates_far_away_never_lose_an_interior_optimum_or_widen_its_interval(
    family, seeds
):
    """At least 95 of 100 of those that are interior without them."""
    worse, interior = 0, 0
    for near, rows in extended(family, seeds):
        for one, other in zip(optima.optimum(near), optima.optimum(rows), strict=True):
            if one.status == "interior":
                interior += 1
                kept = other.status == "interior"
                wider = kept and math.log(other.high / other.low) > 1.1 * math.log(
                    one.high / one.low
                )
                worse += wider or not kept
    assert interior > DRAWS
    assert worse <= stats.binom.ppf(0.99, interior, 0.05)


def test_without_noise_learning_rates_far_away_hardly_move_the_law():
    near, more = (powerlaws.learning_rate_law(far(count, 0.0, 0)) for count in (3, 6))
    assert more.exponent == pytest.approx(near.exponent, abs=0.01)


def test_a_column_that_blew_up_does_not_take_the_law_away():
    rows = [
        {"batch": batch, "lr": lr, "seed": seed, "status": "done",
         "val_loss": 2 + 0.1 * (np.log(lr) - np.log(1e-3) - 0.5 * np.log(batch / 32)) ** 2
         + 0.001 * np.random.default_rng([batch, i, seed]).standard_normal()}
        for batch in (32, 64, 128, 256, 512)
        for i, lr in enumerate(5e-4 * 2.0 ** np.arange(8))
        for seed in range(3)
    ]  # fmt: skip
    clean = pd.DataFrame(rows)
    for blown in ([6.9], [6.5, 6.9]):
        columns = np.sort(clean["lr"].unique())[-len(blown) :]
        moved = clean["lr"].map(dict(zip(columns, blown, strict=True)))
        law = powerlaws.learning_rate_law(clean.assign(val_loss=moved.fillna(clean["val_loss"])))
        assert law.low <= 0.5 <= law.high
        assert law.high - law.low < 0.03
        assert law.unstable == moved.notna().sum()


@pytest.mark.parametrize("beyond", [[0.2], [0.2, 0.4], [0.2, 0.4, 0.8]])
def test_one_step_on_a_quadratic_saturates_at_its_noise_scale_from_every_grid(beyond):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"batch": batch, "lr": lr, "seed": seed, "status": "done",
         "val_loss": 0.42 - lr + 2.7 * lr**2 * (1 + 94 / batch) + 0.002 * rng.standard_normal()}
        for batch in (8, 16, 32, 64, 128)
        for lr in (0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, *beyond)
        for seed in range(3)
    )  # fmt: skip
    law = powerlaws.learning_rate_law(rows)
    assert law.compared.fits[0].name == "saturating"
    assert law.form == ("power" if "power" in law.compared.tied else "saturating")
    turn, low, high = law.turn
    assert low <= 94 <= high
    assert turn == pytest.approx(94, rel=0.2)


def test_prediction_intervals_hold_the_best_lr_of_a_batch_size_that_was_left_out():
    inside = []
    for seed in range(30):
        draw = planted.bowl(np.random.default_rng(seed), "wide", seeds=1, batches=7)
        sizes = np.unique(draw.rows["batch"])
        law = powerlaws.learning_rate_law(draw.rows[draw.rows["batch"] != sizes[-1]])
        (row,) = law.predict(pd.DataFrame({"batch": [sizes[-1]]})).itertuples()
        z = draw.slope[-1, :, 0] / -2  # where the parabola is 0
        truth = np.log(draw.rows.loc[draw.rows["batch"] == sizes[-1], "lr"].iloc[0]) - z[0]
        assert row.low <= row.lr <= row.high
        inside.append(row.low <= np.exp(truth) <= row.high)
    assert sum(inside) >= stats.binom.ppf(0.005, 30, 0.95)


def test_the_line_through_the_minima_of_each_batch_size_is_covered_if_it_contradicts(monkeypatch):
    def both(rows: pd.DataFrame) -> tuple[powerlaws.Law, powerlaws.Law]:
        wide = powerlaws.learning_rate_law(rows)
        with monkeypatch.context() as patch:
            patch.setattr(powerlaws, "APART", math.inf)
            patch.setattr(powerlaws, "_law", powerlaws._law.__wrapped__)  # not what it remembers
            return wide, powerlaws.learning_rate_law(rows)

    rows, exponent = planted.noisy_quadratic(np.random.default_rng(7))
    wide, narrow = both(rows[rows["seed"] == 0])
    assert not narrow.low <= exponent <= narrow.high
    assert wide.low <= exponent <= wide.high
    wide, narrow = both(planted.bowl(np.random.default_rng(1), "wide", seeds=1).rows)
    assert (wide.low, wide.high) == (narrow.low, narrow.high)


def test_without_a_law_nothing_is_predicted():
    law = powerlaws.learning_rate_law(wide(3).rows.query("batch < 32"))
    assert (law.form, law.compared.fits) == ("", ())
    with pytest.raises(ValueError, match="no law to predict with: batch sizes"):
        law.predict(pd.DataFrame({"batch": [8]}))


@pytest.mark.skipif("SCALING_DATA" not in os.environ, reason="SCALING_DATA is not set")
def test_the_public_step_law_grids_have_laws_and_interior_optima():
    """17 grids of one seed (arXiv:2503.04715); three of them here."""
    file = Path(os.environ["SCALING_DATA"], "steplaw", "dense.csv")
    if not file.exists():
        pytest.skip("steplaw is not in SCALING_DATA")
    table = pd.read_csv(file).rename(columns={"bs": "batch", "smooth loss": "val_loss"})
    statuses, turns = [], []
    for tokens in (4e9, 1e11):
        rows = table[(table["N"] < 2.2e8) & (table["D"] == tokens)]
        rows = rows.assign(seed=0, status="done", clip=math.inf)
        law = powerlaws.learning_rate_law(rows)
        assert law.identified
        assert law.low > 0
        turns.append(law.turn[0])
        statuses += [one.status for one in optima.optimum(rows)]
    assert statuses.count("interior") >= 18
    assert "irregular" not in statuses
    assert turns[1] > 4 * turns[0]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (lambda r: r[r["batch"] <= 16], "batch sizes with a finite loss: 2"),
        (lambda r: r[np.isclose(r["lr"], r["lr"].median())], "learning rates per batch size: 1"),
        (lambda r: r.assign(status="diverged", val_loss=np.nan), "finite loss: 0"),
        (lambda r: r.iloc[:0], "finite loss: 0"),
        (lambda r: r[r["lr"] < r["lr"].quantile(0.3)], "learning rates|rise|inside|minimum"),
        (lambda r: r.assign(val_loss=2.0), "equal"),
    ],
)
def test_rows_without_a_law_are_refused_with_the_reason(rows, reason):
    law = powerlaws.learning_rate_law(rows(wide(3, seeds=3).rows))
    assert not law.identified
    assert re.search(reason, law.reason)
    assert math.isnan(law.exponent)
    assert law.contains(0.5) is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lr", 0.0, "lr=0 must be positive and finite; leave such runs out"),
        ("lr", np.nan, "lr=nan must be"),
        ("lr", np.inf, "lr=inf must be"),
        ("batch", -4.0, "batch=-4 must be"),
        ("batch", np.nan, "batch=nan must be"),
        ("seed", np.nan, "seed is missing in a run; number the seeds"),
    ],
)
def test_a_run_without_a_place_in_the_grid_is_refused(column, value, message):
    rows = wide(3, seeds=3).rows
    wrong = pd.concat([rows, rows.iloc[-1:].assign(**{column: value})], ignore_index=True)
    for function in (powerlaws.learning_rate_law, optima.optimum):
        with pytest.raises(ValueError, match=message):
            function(wrong)
    unfinished = wrong.assign(status=[*rows["status"], "failed"])
    assert powerlaws.learning_rate_law(unfinished).identified


def test_the_plain_fit_in_closed_form():
    batch = np.array([8, 16, 32, 64])
    fit = plain_fit(batch, 3e-3 * batch**0.5)
    assert (fit.exponent, fit.constant) == pytest.approx((0.5, 3e-3))
    assert fit.r_squared == pytest.approx(1)
    assert fit.high - fit.low == pytest.approx(0, abs=1e-6)


def test_the_published_fits_are_reproduced_with_the_t_interval_of_few_points():
    first = published("phase_2_optimal_lr")
    fit = plain_fit(first["batch"].to_numpy(), first["lr"].to_numpy())
    assert fit.exponent == pytest.approx(-0.356, abs=5e-4)
    assert (fit.high - fit.low) / 2 == pytest.approx(0.692, abs=5e-4)
    assert fit.r_squared == pytest.approx(0.259, abs=5e-4)
    inner = first[first["batch"] < 512]  # the optimum of 512 is the lowest lr tried
    fit = plain_fit(inner["batch"].to_numpy(), inner["lr"].to_numpy())
    assert fit.exponent == pytest.approx(0.05, abs=5e-3)
    assert (fit.high - fit.low) / 2 == pytest.approx(0.52, abs=5e-3)
    second = published("phase_2_5_optimal_lr")
    fit = plain_fit(second["batch"].to_numpy(), second["lr"].to_numpy())
    assert fit.exponent == pytest.approx(1.170, abs=5e-4)
    assert (fit.high - fit.low) / 2 == pytest.approx(1.22, abs=5e-3)
    assert 2 * fit.error == pytest.approx(0.568, abs=1e-3)


def test_a_table_of_optima_alone_gives_no_surface():
    rows = published("phase_2_optimal_lr").assign(seed=0, status="done")
    law = powerlaws.learning_rate_law(rows)
    assert not law.identified
    assert "learning rates per batch size: 1" in law.reason
    assert (rows["val_loss"] - math.log(65)).abs().max() < 0.013


def test_two_optima_give_no_line():
    with pytest.raises(ValueError, match="optima: 2"):
        plain_fit(np.array([8, 16]), np.array([1e-3, 2e-3]))


def test_a_batch_size_without_an_optimum_of_its_own_is_left_out():
    rng = np.random.default_rng([sum(map(ord, "missing1")), 185])  # two losses at one batch size
    draw = planted.bowl(rng, "missing", seeds=1)
    law = powerlaws.learning_rate_law(draw.rows)
    assert law.identified
    assert law.low <= draw.exponent <= law.high
