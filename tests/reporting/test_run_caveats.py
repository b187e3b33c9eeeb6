"""Caveats of a run are reported; a sound run has none."""

import pandas as pd
import pytest

from scaling import results
from scaling.gradients.noise_scale import FEWEST, LAST
from scaling.reporting.caveats import sweep_caveats
from scaling.reporting.run_caveats import caveats

SOUND = {
    "unknown_train": 9, "train_characters": 1_000, "unknown_val": 0, "val_characters": 100,
    "query_accuracy": 0.75, "before_query_accuracy": 0.7, "query_diversity": 0.7,
    "before_query_diversity": 0.8, "query_largest_share": 0.5, "before_query_largest_share": 0.4,
    "federation_failures": 0.0,
}  # fmt: skip


def kinds(**changes) -> list[str]:
    return [caveat.kind for caveat in caveats(SOUND | changes)]


def test_a_sound_run_and_one_that_measured_nothing_have_none():
    assert kinds() == []
    assert caveats({}) == []
    assert caveats(pd.Series({"unknown_train": float("nan"), "query_accuracy": 0.1})) == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_text_of_another_alphabet_is_named_above_one_percent(split):
    characters = SOUND[f"{split}_characters"]
    assert kinds(**{f"unknown_{split}": 0.01 * characters}) == []
    (found,) = caveats(SOUND | {f"unknown_{split}": 0.831 * characters})
    assert "83.1 % of the" in found.sentence
    assert found.kind == "unknown characters"


def test_predictions_of_one_class_are_a_collapse_with_its_three_measures_and_a_remedy():
    (found,) = caveats(
        SOUND | {"query_accuracy": 0.332, "query_diversity": 0.02, "query_largest_share": 1.0}
    )
    assert found.kind == "collapsed"
    assert found.sentence == (
        "accuracy on the query 70.0 % -> 33.2 %, the largest class is given to 40.0 % -> 100.0 % "
        "of it, entropy of the mean prediction 0.80 -> 0.02 of its maximum"
    )
    assert "adaptation.reset_above" in found.remedy


def test_varied_predictions_of_the_wrong_windows_are_a_collapse():
    assert kinds(query_accuracy=0.19, query_diversity=0.79) == ["collapsed"]
    assert kinds(query_accuracy=0.61) == []  # harm, but not a collapse


def test_a_query_of_few_classes_is_not_a_collapse():
    assert kinds(before_query_diversity=0.3, query_diversity=0.28) == []


def test_clients_that_failed_are_counted():
    (found,) = caveats(SOUND | {"federation_failures": 3.0})
    assert found.sentence.startswith("3 answers of clients are missing")


def test_the_line_of_a_run_the_line_of_a_cell_and_the_report_say_it(command, folder):
    words = "Все счастливые семьи похожи друг на друга. "  # noqa: RUF001 - the alphabet matters
    (folder / "russian.txt").write_text(words * 200)
    typed = ("data=text", "data.path=russian.txt", "data.vocabulary=ascii")
    alone = command(*typed)
    assert alone.code == 0
    assert "warning   unknown characters: 81.4 % of the training and 81.4 % of the " in alone.out
    assert "set data.vocabulary=characters" in alone.out
    swept = command("-m", "lr=1e-3,1e-2", *typed)
    assert swept.out.count("warning: unknown characters") == 1  # one was done
    said = sweep_caveats(results.read("multirun/scratch"))
    assert said[0].startswith("Unknown characters, 2 of 2 runs: the worst, ")
    known = command(*typed[:2], "data.vocabulary=characters")
    assert "warning" not in known.out


def test_weights_that_no_step_moved_and_steps_that_were_not_taken_are_named():
    assert kinds(steps=10.0, update_norm=1e-9, skipped_steps=1.0) == []
    assert kinds(steps=10.0, update_norm=0.0, skipped_steps=0.0) == ["unchanged weights"]
    assert kinds(steps=10.0, skipped_steps=4.0, update_norm=0.1) == ["skipped steps"]
    assert kinds(steps=4.0, skipped_steps=4.0) == ["skipped steps"]


def test_a_noise_scale_that_is_not_identified_has_a_reason_and_a_remedy():
    asked = {"noise_scale_probes": 42.0}
    assert kinds(**asked, noise_scale=40.0, noise_scale_low=20.0) == []
    assert kinds(**asked, diverged_step=7.0) == []
    (hidden,) = caveats(asked | {"noise_scale_low": 20.0})
    assert hidden.sentence == (
        "noise hides the gradient: the interval of |G|^2 reaches 0, or nearly, and the noise scale "
        "is at least 20"
    )
    assert "callbacks.noise_scale.every" in hidden.remedy
    assert "a larger batch" in hidden.remedy
    (few,) = caveats(asked | {"noise_scale_probes": 9.0})
    assert few.sentence == "9 probes; an interval needs at least 10"
    assert few.remedy.startswith("a run needs 14 probes: lower callbacks.noise_scale.every")


def test_a_run_with_as_many_probes_as_the_remedy_says_has_enough():
    assert [max(1, round(LAST * probes)) >= FEWEST for probes in (13, 14)] == [False, True]
