"""The first screen of a report: best learning rates, their law, and how sure they are."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scaling
from scaling.reporting.answer import NextStep, answer, settings_of
from scaling.reporting.answer_lines import lines
from scaling.reporting.charts import loss
from scaling.reporting.optimum_words import best_lr
from scaling.reporting.page_parts import answer_part
from scaling.studies import law_words
from scaling.studies.sweep_tables import SweepTables

DATA = Path(__file__).parents[2] / "notebooks" / "data"
EXPONENT = 0.4


def planted(*, seeds=3, noise=0.004, batches=(8, 16, 32, 64, 128), clips=(1.0,), exponent=EXPONENT):
    """Bowls whose best lr is 1e-3 B^exponent, with a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {"batch": b, "lr": lr, "seed": seed, "clip": clip, "status": "done", "study": "s",
         "run": f"{b},{lr},{seed},{clip}",
         "val_loss": 2 + 0.1 * math.log(lr / (1e-3 * b**exponent)) ** 2 + noise * rng.normal()}
        for clip in clips for b in batches for lr in np.geomspace(1e-4, 1e-1, 10)
        for seed in range(seeds)
    ]  # fmt: skip
    rows = pd.DataFrame(rows)
    return rows.assign(model="m", data="d", optimizer="o", protocol="steps", duration=10)


def answered(rows: pd.DataFrame):
    return answer(settings_of(SweepTables(rows)), (), (), (), NextStep("why", "command"))


def test_the_best_lr_of_each_batch_is_the_planted_one():
    found = answered(planted()).record()["settings"][0]["best"]
    assert [one["batch"] for one in found] == [8, 16, 32, 64, 128]
    for one in found:
        true = 1e-3 * one["batch"] ** EXPONENT
        assert one["status"] == "interior"
        assert one["low"] <= true <= one["high"]
        tried = np.geomspace(1e-4, 1e-1, 10)
        assert one["lowest_tried"] == pytest.approx(tried[abs(np.log(tried / true)).argmin()])


def test_the_law_gives_a_learning_rate_with_its_interval():
    (setting,) = answered(planted()).settings
    formula = law_words.formula(setting.law)
    constant, exponent = map(float, re.fullmatch(r"lr = (\S+) B\^(\S+)", formula).groups())
    assert constant == pytest.approx(1e-3, rel=0.1)
    assert exponent == pytest.approx(EXPONENT, abs=0.02)
    lr, low, high = law_words.predicted(setting.law, 128)
    assert low < lr < high
    assert low <= 1e-3 * 128**EXPONENT <= high
    assert lr == pytest.approx(constant * 128**exponent, rel=0.05)


@pytest.mark.parametrize("form", ["saturating", "surge", "constant", "power"])
def test_the_formula_of_a_form_gives_what_it_predicts(form):
    law = answered(planted(noise=0.0005)).settings[0].law
    fits = {fit.name: fit for fit in law.compared.fits}
    shown = law_words.form_formula(replace(law, fitted=fits[form]))
    typed = shown.removeprefix("lr = ").replace(" B^", " * B**")
    value = eval(typed, {"sqrt": math.sqrt, "B": 32.0})
    assert math.log(value) == pytest.approx(
        fits[form].predict(np.array([32.0]), 0.95)[0][0], abs=0.01
    )


def test_a_law_that_bends_gives_its_own_formula_and_says_on_average():
    """A saturating law, with too little noise to hide its form."""
    rows = planted(batches=tuple(2**k for k in range(2, 12)))
    turn = np.log1p(60 / rows["batch"])
    noise = np.random.default_rng(0).normal(scale=0.002, size=len(rows))
    rows["val_loss"] = 2 + 0.1 * (np.log(rows["lr"] / 0.02) + turn) ** 2 + noise
    (setting,) = answered(rows).settings
    assert setting.law.form == "saturating"
    shown = law_words.form_formula(setting.law)
    lr, number = map(float, re.fullmatch(r"lr = (\S+) / \(1 \+ (\S+) / B\)", shown).groups())
    assert (lr, number) == (pytest.approx(0.02, rel=0.05), pytest.approx(60, rel=0.1))
    text = "\n".join(lines(answered(rows)))
    assert f"Law: {shown}, so " in text
    assert "the power law is lr = " in text
    assert "on average over these sizes" in text


def test_the_words_agree_with_the_interval():
    law = answered(planted()).settings[0].law
    assert law.low > 0.2
    assert law.high < 0.5
    words = law_words.direction(law)
    assert words.startswith("The best lr grows with the batch size")
    assert (
        "square-root scaling (exponent 1/2) and linear scaling (exponent 1) are excluded" in words
    )
    falls = answered(planted(exponent=-0.3)).settings[0].law
    assert law_words.direction(falls).startswith("The best lr falls with the batch size")
    none = answered(planted(exponent=0.0)).settings[0].law
    assert none.low < 0 < none.high
    assert "is open" in law_words.direction(none)
    half = answered(planted(exponent=0.5, noise=0.02)).settings[0].law
    assert "square-root scaling (exponent 1/2) is inside the interval" in law_words.direction(half)


def test_variation_between_seeds_is_claimed_only_of_three_seeds():
    assert "3 seeds; the interval includes the variation between seeds" in law_words.basis(
        answered(planted()).settings[0].law
    )
    one = law_words.basis(answered(planted(seeds=1)).settings[0].law)
    assert "one seed; variation between seeds is included only with three or more" in one


@pytest.mark.parametrize(
    "name", ["quickstart.csv", "joint.csv", "fixed_examples.csv", "phase_2.csv"]
)
def test_the_answer_takes_few_short_lines_and_is_json(name):
    found = answered(scaling.read(DATA / name))
    assert 1 < len(lines(found)) <= 18
    assert max(map(len, lines(found))) <= 100
    json.loads(json.dumps(found.record(), allow_nan=False))


def test_many_batch_sizes_and_settings_still_take_few_lines():
    batches = tuple(2**k for k in range(2, 16))
    found = answered(planted(batches=batches))
    assert len(lines(found)) <= 18
    assert len(lines(replace(found, headlines=("Noise scale", "Tails")))) <= 18
    clips = tuple(np.linspace(0.1, 2, 12))
    found = answered(planted(clips=clips, seeds=1))
    assert len(found.settings) == 12
    assert len(lines(replace(found, headlines=("Noise scale", "Tails")))) <= 18
    assert len(lines(found)) <= 20  # two of each setting
    assert "and 5 more settings on the page" in "\n".join(lines(found))


def test_what_else_was_recorded_follows_the_best_learning_rates():
    found = replace(answered(planted(seeds=1)), headlines=("Noise scale: 1", "Tails: 2"))
    *before, noise, tails, why, command = lines(found)
    assert (noise, tails) == ("Noise scale: 1", "Tails: 2")
    assert (why, command) == ("Next: why", "  command")
    assert before[-2].startswith("How sure")
    assert before[-1].startswith("  square-root scaling")
    assert answer_part(found)["headlines"] == ("Noise scale: 1", "Tails: 2")


def test_a_reason_that_blocks_several_answers_is_given_once():
    rows = planted(clips=(0.5, 1.0, 2.0), batches=(8, 16))
    text = "\n".join(lines(answered(rows)))
    (reason,) = {one.law.reason for one in answered(rows).settings}
    assert text.count(reason) == 1
    assert list(answer_part(answered(rows))["no_law"].values()) == [
        ["clip=0.5", "clip=1", "clip=2"]
    ]


def test_batch_sizes_without_an_optimum_are_named_with_the_reason():
    rows = planted()
    rows.loc[rows["batch"] == 16, "status"] = "diverged"
    text = "\n".join(lines(answered(rows)))
    assert re.search(r"batch +16  irregular: a run diverged at every learning rate", text)


def test_ends_of_an_interval_that_are_open_are_said():
    rows = planted(batches=(8, 4096), exponent=0.6)
    best = {one.batch: best_lr(one) for one in answered(rows).settings[0].optima}
    assert re.fullmatch(r"above \S+, no upper end", best[4096])
    assert re.fullmatch(r"\S+ \(\S+ to \S+\)", best[8])


def test_an_optimum_without_a_bowl_is_marked_and_has_no_curve():
    found = answered(scaling.read(DATA / "quickstart.csv"))
    (setting,) = found.settings
    reasons = {one.batch: one.reason for one in setting.optima if not one.has_bowl}
    assert list(reasons) == [8, 128]
    assert all(reason.startswith("no bowl with both sides fits") for reason in reasons.values())
    marked = [line.split()[1] for line in lines(found) if "  ~0." in line]
    assert marked == ["8", "128"]
    assert sum(line.startswith("  ~ no fitted bowl: ") for line in lines(found)) == 1
    assert [line[0] for line in answer_part(found)["best"][1:] if line[1][0] == "~"] == marked
    chart = loss.loss_chart(found.settings)
    (dashed,) = (one for one in chart["layer"] if one["mark"].get("strokeDash") == [5, 3])
    curves = chart["datasets"][dashed["data"]["name"]]
    assert {point["batch"] for point in curves} == {16, 32, 64}


def test_open_ends_of_several_settings_are_explained_once():
    text = lines(answered(scaling.read(DATA / "joint.csv")))
    assert "0.0039 at 32, >0.003 at 64, >0.0038 at 128" in text[2]
    assert [line for line in text if line.startswith("  > lower end of an interval")] == [text[6]]
    assert not any(line.startswith("  < ") for line in text)


def test_numbers_keep_as_many_digits_as_tell_the_ends_apart():
    assert law_words.span(0.4, 0.398, 0.4031) == "0.400 (0.398 to 0.403)"
    assert law_words.span(0.4, 0.1, 0.7) == "0.40 (0.10 to 0.70)"
    assert law_words.lr_span(0.0281, 0.0279, 0.0283) == "0.0281 (0.0279 to 0.0283)"
    assert law_words.lr_span(0.02, 0.01, 0.04) == "0.02 (0.01 to 0.04)"


def test_a_fitted_bowl_passes_through_losses_without_noise():
    rows = planted(noise=0.0, seeds=1)
    for one in scaling.optimum(rows):
        near = rows[(rows["batch"] == one.batch) & (abs(np.log(rows["lr"] / one.lr)) < 1.3)]
        np.testing.assert_allclose(one.bowl(near["lr"].to_numpy()), near["val_loss"], atol=1e-4)
        assert one.bowl(np.array([one.lr]))[0] == pytest.approx(one.loss)
