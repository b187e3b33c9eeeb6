"""Studies are found in their folder: a new file is a new study; an incomplete one is refused."""

import re
import sys
from pathlib import Path

import pytest
from rows import write_sweep

from scaling import studies
from scaling.reporting import build
from scaling.studies import overview
from scaling.studies.adaptation import study
from scaling.studies.axes_figures import predicted_lr
from scaling.studies.clipping_figures import loss_against_clip, update_against_clip
from scaling.studies.laws_figures import optimal_lr
from scaling.studies.noise_scale_figures import noise_scale_over_training
from scaling.studies.study import CAPTIONS, Study, all_studies
from scaling.studies.tails.figures import hill_by_share, shape_over_steps
from scaling.studies.tuning_figures import lr_sensitivity, steps_and_examples

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "study.md"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder whose modules are studies as well."""
    all_studies()  # so that only modules of the folder are new
    place = tmp_path / "studies"
    place.mkdir()
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(place)])
    before = set(sys.modules)
    yield place
    for name in set(sys.modules) - before:
        if name.startswith(studies.__name__):
            del sys.modules[name]
            delattr(studies, name.rpartition(".")[2])


def names() -> list[str]:
    return [one.__name__.removeprefix("scaling.studies.") for one in all_studies()]


def test_each_study_has_every_member_and_a_place_of_its_own():
    assert names() == [
        "axes", "overview", "laws", "tails.study", "clipping", "tuning", "gradient_flow.study",
        "adaptation.study", "replicates", "noise_scale",
    ]  # fmt: skip
    assert all(isinstance(one, Study) for one in all_studies())
    orders = [one.ORDER for one in all_studies()]
    assert len(set(orders)) == len(orders)


def test_the_page_on_studies_adds_one_with_one_file(folder, tmp_path):
    (source,) = re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "step_time.py").write_text(source)
    measured = {"val_loss": 2.0, "seconds": 3.0, "steps": 10.0}
    sweep = write_sweep(tmp_path / "sweep", seeds=(0, 1, 2), measured=measured)
    files = build.write([sweep], tmp_path / "report").files
    assert names()[-1] == "step_time"
    text, page = files[0].read_text(), files[-1].read_text()
    assert "Milliseconds per step at each batch: 300 at 8, 300 at 16" in text
    assert "A step takes longer at the largest batch than at the smallest (1, 95 %" in text
    assert "Time of a step against batch size; a dot is a run." in page
    assert {"step_times.csv", "step_time.png", "step_time.svg"} <= {path.name for path in files}


def test_an_incomplete_study_is_refused_with_its_missing_members(folder):
    (folder / "half.py").write_text("def applies(sweep): ...\ndef tables(sweep): ...\n")
    with pytest.raises(TypeError, match="half has no ORDER, sentences, verdicts, figures, which a"):
        all_studies()


def test_a_module_without_applies_is_not_a_study(folder):
    (folder / "shared.py").write_text("LEVELS = 3\n")
    assert "shared" not in names()


def test_reports_name_no_study():
    asking = {name.partition(".")[0] for name in names()}
    for path in (ROOT / "src" / "scaling" / "reporting").glob("*.py"):
        imported = re.findall(r"scaling\.studies(?: import |\.)(\w+)", path.read_text())
        assert not asking & set(imported), path


def test_each_caption_is_that_of_a_figure():
    charts = (overview.OVER_LR, overview.OVER_NOISE, overview.OVER_STEPS, overview.OVER_LAYERS)
    draws = [
        *(draw for those in charts for draw in those), *study.FIGURES, optimal_lr,
        loss_against_clip, update_against_clip, lr_sensitivity, steps_and_examples,
        predicted_lr, noise_scale_over_training, hill_by_share, shape_over_steps,
    ]  # fmt: skip
    assert {draw.__name__ for draw in draws} == set(CAPTIONS)
