"""One definition of a setting for identity, blocks, replicates and exports."""

import pandas as pd
import pytest

from scaling import results
from scaling.analysis.replicates import replicates
from scaling.contracts.settings import by_setting, is_setting, settings_of
from scaling.storage import exports

WHERE = ("trainer.accelerator=cpu", "trainer.log_every_n_steps=7", "logger=none", "save_every=9")


def test_columns_and_keys():
    columns = ["run", "model.depth", "val_loss", "seed", "fold", "batch", "logger.name", "data"]
    assert settings_of(columns) == ["data", "fold", "batch", "seed", "model.depth"]
    assert is_setting("trainer.precision")
    assert not is_setting("trainer.devices")
    assert not is_setting("federation.backend")
    assert is_setting("federation.backends")  # another key, not one below it


def test_the_machine_of_a_run_makes_no_second_law(command):
    """Two runs with one digest are one cell everywhere."""
    assert command("study=a", "steps=2").code == 0
    assert command("study=b", "steps=2", *WHERE).code == 0
    rows = results.read("multirun")
    assert rows["digest"].nunique() == 1
    assert [title for title, _ in by_setting(rows)] == [""]
    (group,) = replicates(rows).groups
    assert (group.kind, group.spread) == ("same cell", 0)


def test_an_exported_table_is_grouped_like_the_runs(tmp_path):
    table = pd.DataFrame(
        {
            "batch": [32, 32], "lr": [0.1, 0.1], "val_loss": [2.0, 2.1], "status": "done",
            "trainer.accelerator": ["cpu", "auto"], "clip": 1.0,
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "theirs.csv", index=False)
    with pytest.warns(UserWarning, match="has missing columns"):
        rows = results.read(tmp_path / "theirs.csv")
    assert rows["seed"].tolist() == [0, 1]  # repeats of one cell
    assert [title for title, _ in by_setting(rows)] == [""]
    assert exports.is_setting("clip")
