"""The effect of clipping is read from the measured update, not from clip / norm."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rows import write_sweep

from scaling import results
from scaling.studies import clipping
from scaling.studies.claims import Estimate
from scaling.studies.sweep_tables import SweepTables

KEPT = Path(__file__).parents[2] / "notebooks" / "data"


def told(name: str) -> str:
    return "\n".join(clipping.sentences(SweepTables(results.read(KEPT / f"{name}.csv"))))


def words(name: str) -> dict[tuple[str, str], str]:
    rows = results.read(KEPT / f"{name}.csv")
    return {
        (title, v.sentence.split(" ")[0]): v.word
        for title, v in clipping.verdicts(SweepTables(rows))
    }


def test_clipping_is_a_learning_rate_under_sgd_and_nothing_under_adamw():
    said = told("clip_sgd_adam")
    assert "clip^1.000" in said
    assert re.search(r"\(optimizer=sgd\), .* there the clip acts as a learning rate", said)
    assert re.search(r"\(optimizer=adamw\), .* there clip / norm is not a learning rate", said)
    assert words("clip_sgd_adam")["optimizer=sgd", "Clipping"] == "supported"
    assert words("clip_sgd_adam")["optimizer=adamw", "Clipping"] == "contradicted"


def test_no_zero_of_a_sentence_has_a_minus():
    """Updates under AdamW that hardly depend on the clip, and losses that do not differ."""
    rows = results.read(KEPT / "clip_sgd_adam.csv").query("optimizer == 'adamw'").copy()
    rows["update_norm"] = 0.5 + 1e-6 * rows["seed"] * rows["clip"].rank()
    rows["val_loss"] = 2.0 + 1e-6 * rows["seed"] * rows["clip"].rank()
    said = "\n".join(clipping.sentences(SweepTables(rows)))
    assert "clip^0.000 (95 % intervals of all cells: 0.000 to 0.000)" in said
    assert "+0.0000 nats, 95 % interval +0.0000 to +0.0000" in said
    assert not re.search(r"-0\.0+\b", said)


def test_effects_are_separate_for_each_optimizer():
    said = told("clip_sgd_adam")
    assert len(re.findall(r"Loss at clip \S+ minus that at inf \(optimizer=adamw\)", said)) == 5
    assert said.count("differs") == 4  # all of SGD
    assert "differs" not in "\n".join(line for line in said.splitlines() if "adamw" in line)


def test_one_seed_gives_no_effect():
    said = told("phase_3b")
    assert "Loss at clip 0.01, 0.1, 1, 10 minus that at inf: inconclusive; one seed" in said
    assert set(words("phase_3b").values()) == {"inconclusive"}


def test_effects_that_three_comparisons_would_show_by_chance_are_not_reported():
    said = told("joint")
    assert said.count("inconclusive") == 3
    assert words("joint")["", "A"] == "inconclusive"


@pytest.mark.parametrize(("name", "asked"), [("joint", True), ("phase_3a", False)])
def test_the_study_does_not_apply_to_a_sweep_of_one_clip(name, asked):
    assert clipping.applies(SweepTables(results.read(KEPT / f"{name}.csv"))) is asked


def test_protocols_are_not_mixed():
    steps, examples = (results.read(KEPT / f"{name}.csv") for name in ("joint", "fixed_examples"))
    both = pd.concat([steps[steps["clip"] == 0.2], examples], ignore_index=True)
    assert not clipping.applies(SweepTables(both))  # each protocol has one clip


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        ({0.5: 2.2, 1.0: 2.0, 2.0: 2.3}, "supported"),
        ({0.5: 1.8, 1.0: 2.0, 2.0: 2.3}, "contradicted"),  # one better ceiling is enough
        ({0.5: 2.0, 1.0: 2.0, 2.0: 2.3}, "inconclusive"),
    ],
)
def test_a_ceiling_of_one_is_best_only_if_no_other_may_be_better(losses, word):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"batch": 8, "lr": 1e-3, "clip": clip, "seed": seed, "status": "done",
         "val_loss": loss + 0.005 * rng.standard_normal(), "optimizer": "o", "clip_percent": 50.0}
        for clip, loss in losses.items() for seed in range(5)
    )  # fmt: skip
    assert clipping.CLAIMS[0].judge(rows).word == word


@pytest.mark.filterwarnings("ignore:.*has missing columns")
def test_missing_measures_of_a_published_table_are_reported_and_never_nan():
    rows = results.read(KEPT / "published" / "phase_3b.csv")
    said = "\n".join(clipping.sentences(SweepTables(rows)))
    assert "nan" not in said
    assert "unknown optimizer, batch 32, lr 0.001, clip 0.01: saturated" in said
    told = {v.sentence.split(",")[0]: v.numbers for _, v in clipping.verdicts(SweepTables(rows))}
    assert told["Clipping acts as a learning rate: the update is proportional to the clip if all "
                "steps are clipped"] == "the update was not measured"  # fmt: skip
    both = pd.concat([rows, results.read(KEPT / "published" / "phase_3a.csv")])
    assert "not measured" in clipping.effective_exponent(both).shown


def test_an_update_that_goes_faster_than_the_clip_is_not_called_a_learning_rate():
    steep = Estimate(1.5, 1.4, 1.6, "")
    meaning = clipping._meaning("sgd", steep)
    assert meaning == "there the clip is neither a learning rate nor without effect"
    assert clipping.CLAIMS[1].weigh(steep).word == "contradicted"


def test_lost_pairs_and_confounded_settings_are_reported_with_the_effect(tmp_path):
    rows = results.read(write_sweep(tmp_path / "s", clips=(0.5, 1.0), seeds=(0, 1, 2)))
    rows.loc[(rows["clip"] == 0.5) & (rows["seed"] == 0), ["status", "val_loss"]] = "diverged", None
    said = "\n".join(clipping.sentences(SweepTables(rows)))
    assert "6 of 18 pairs diverged, without a difference" in said
    moved = rows[rows["lr"] == 1e-3].assign(lr=1e-3 * rows["clip"])
    assert "Effect of clip: confounded with clip: lr" in clipping.sentences(SweepTables(moved))
