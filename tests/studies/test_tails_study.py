"""The published claims on tails hold, fail or stay open as the gradients are planted."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling.callbacks.tail_shape import judged
from scaling.reporting import build
from scaling.storage import exports
from scaling.studies.sweep_tables import SweepTables
from scaling.studies.tails import study

KEPT = Path(__file__).parents[2] / "notebooks" / "data" / "phase_1_injected"
LAWS = {"gaussian": stats.norm, "laplace": stats.laplace, "cauchy": stats.cauchy}
SIZE = 4_000


def planted(folder, coordinates: str, time: str, *, seeds: int = 3, **settings) -> SweepTables:
    """Runs whose gradients have known laws over coordinates and over time, in two windows."""
    rows, tails = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        about = {"study": "planted", "run": f"seed={seed}"}
        config = {
            "batch": 32,
            "lr": 1e-3,
            "clip": np.inf,
            "seed": seed,
            "val_loss": 2.0,
            **settings,
        }
        rows.append({**about, "status": "done", **config})
        for step in (0, 100):
            samples = {
                "coordinates": LAWS[coordinates].rvs(size=SIZE, random_state=rng),
                "time": LAWS[time].rvs(size=(200, SIZE // 200), random_state=rng),
            }
            for axis, values in samples.items():
                line = {"step": step, "epoch": 0, "axis": axis, "clipped": False}
                line |= judged(values, axis)
                tails += [{**about, **line, "group": group} for group in ("all", "attention")]
    exports.write(folder, pd.DataFrame(rows), {"tails": pd.DataFrame(tails)})
    return SweepTables.of(folder)


def words(sweep: SweepTables) -> dict[tuple[str, str], str]:
    """Axis and claim -> verdict."""
    kinds = {
        "power tail": "power", "tail index": "three", "Laplace-like": "laplace",
        "not heavy-tailed": "light", "LR ~": "law",
    }  # fmt: skip
    found = {}
    for _, verdict in study.verdicts(sweep):
        (kind,) = (name for part, name in kinds.items() if part in verdict.sentence)
        axis = "coordinates" if "coordinates of a step" in verdict.sentence else "time"
        found[axis, kind] = verdict.word
    return found


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> SweepTables:
    """Laplace together and Gaussian each: coordinates of unequal scale."""
    return planted(tmp_path_factory.mktemp("mixed"), "laplace", "gaussian")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory) -> SweepTables:
    """Cauchy on both axes."""
    return planted(tmp_path_factory.mktemp("heavy"), "cauchy", "cauchy")


def test_coordinates_of_unequal_scale_are_laplace_like_together_and_not_each(mixed):
    found = words(mixed)
    assert found["coordinates", "laplace"] == "supported"
    assert found["time", "laplace"] == "contradicted"
    for axis in ("coordinates", "time"):
        assert found[axis, "power"] == "contradicted", "an index that moves is not one"
        assert found[axis, "three"] == "contradicted"
        assert found[axis, "light"] == "supported"


def test_no_law_of_the_learning_rate_follows_from_tails(mixed, heavy):
    assert words(mixed)["time", "law"] == "contradicted"
    assert words(heavy)["time", "law"] == "contradicted"  # its exponent is at most 1/2
    numbers = [v.numbers for _, v in study.verdicts(mixed) if "LR ~" in v.sentence]
    assert "the exponent is 0.50" in numbers[0]


def test_cauchy_gradients_are_heavy_with_one_index(heavy):
    found = words(heavy)
    assert found["coordinates", "power"] == "supported"
    assert found["coordinates", "three"] == "contradicted"
    assert found["coordinates", "light"] == "contradicted"
    assert found["time", "light"] == "contradicted"


def test_two_seeds_tell_nothing(tmp_path):
    assert set(words(planted(tmp_path, "laplace", "gaussian", seeds=2)).values()) == {
        "inconclusive"
    }


@pytest.mark.parametrize(("law", "drawn"), [("normal", "gaussian"), ("cauchy", "cauchy")])
def test_injected_gradients_are_judged_by_the_law_that_they_have(tmp_path, law, drawn):
    sweep = planted(tmp_path, drawn, drawn, **{"data.law": law})
    found = [verdict for _, verdict in study.verdicts(sweep)]
    assert len(found) == (2 if law == "normal" else 3)
    assert {verdict.word for verdict in found} == {"supported"}
    assert all(law in verdict.sentence.lower() for verdict in found)


def test_kept_runs_show_what_pooled_coordinates_make_of_known_tails():
    found = {
        (title, "time" if "over time" in v.sentence else "coordinates", v.sentence.split(",")[0]): v
        for title, v in study.verdicts(SweepTables.of(KEPT))
    }
    words = {
        (title.partition(",")[0].removeprefix("model.width="), axis): verdict.word
        for (title, axis, _), verdict in found.items()
        if "normal" in title
    }
    assert words["512", "coordinates"] == "contradicted"  # Gaussian, and Laplace-like together
    assert {words["64", "time"], words["512", "time"]} == {"supported"}
    cauchy = [
        v.word for (title, axis, _), v in found.items() if "cauchy" in title and axis == "time"
    ]
    assert cauchy == ["supported"] * 2
    said = [
        line for line in study.sentences(SweepTables.of(KEPT)) if "512, data.law=normal" in line
    ]
    assert "windows: laplace-like 18" in said[0]


def test_the_study_applies_to_runs_with_tails_only(mixed):
    assert study.applies(mixed)
    assert not study.applies(SweepTables(mixed.rows))


def test_a_report_has_the_sentences_the_table_and_the_figures(mixed, tmp_path):
    report = build.write(list(mixed.folders), tmp_path / "report")
    names = {path.name for path in report.files}
    assert {"tail_shapes.csv", "hill_by_share.png", "shape_over_steps.svg"} <= names
    assert report.text.startswith(
        "Tails of gradients: over time gaussian (6 of 6 windows), shape 2.0"
    )
    text = report.files[0].read_text()
    assert "Tails of gradients over the coordinates of a step: shape " in text
    assert {"windows: laplace-like 6", "windows: gaussian 6"} <= set(
        re.findall(r"windows: .*", text)
    )
    assert "Tails of gradients of each coordinate over time: shape " in text
    table = pd.read_csv(tmp_path / "report" / "tail_shapes.csv")
    assert len(table) == 2 * 2 * 2  # windows, axes, groups
    assert set(table["runs"]) == {3}
