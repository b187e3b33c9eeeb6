"""Mistyped folders of studies."""

from pathlib import Path

import pytest

from scaling import results
from scaling.reporting import status
from scaling.storage import plans
from scaling.storage.study_folders import unknown

TYPED = {
    "multirun/quickstrat": "did you mean multirun/quickstart?",
    "multrun/quickstart": "did you mean multirun/quickstart?",
    "quickstart": "did you mean multirun/quickstart?",
    "multirunn": "did you mean multirun?",
    "multirun/zzz": "there are multirun/joint, multirun/quickstart",
}


@pytest.mark.parametrize("typed", TYPED)
def test_the_nearest_folder_is_named(folder, typed):
    for study in ("joint", "quickstart"):
        (folder / "multirun" / study).mkdir(parents=True)
    message = f"{typed} does not exist; {TYPED[typed]}"
    assert unknown(Path(typed)) == message
    for read in (results.read, status.cells):
        with pytest.raises(FileNotFoundError) as error:
            read(Path(typed))
        assert str(error.value) == message


def test_many_studies_are_counted(folder):
    for i in range(13):
        (folder / "multirun" / f"study{i:02d}").mkdir(parents=True)
    assert unknown(Path("multirun/zzz")).endswith("multirun/study09 and 3 more")


def test_without_any_study_it_says_where_they_would_be(folder):
    assert unknown(Path("multirun/x")) == (
        "multirun/x does not exist; this folder has no sweeps, which are in multirun/<study>"
    )


def test_a_place_without_rows_says_what_it_is(folder):
    Path("notes.md").write_text("hello")
    Path("others", "logs").mkdir(parents=True)
    Path("runs.csv").write_text("batch,lr,val_loss\n8,1,2\n")
    plans.write(Path("multirun/begun"), "python -m scaling.train", [])
    said = {
        "notes.md": "notes.md is neither a folder of runs nor a table; a table with a line per",
        "others": "others is not a sweep: it has no runs and no plans; give multirun/<study>, an",
        "multirun/begun": "no row.json below multirun/begun; did any run of this sweep finish?",
        "run.csv": "run.csv does not exist; did you mean runs.csv?",
        "nosuch/mine.csv": "nosuch/mine.csv does not exist",
    }
    for place, message in said.items():
        with pytest.raises(FileNotFoundError) as error:
            results.read(place)
        assert str(error.value).startswith(message)
