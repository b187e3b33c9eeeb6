"""Every experiment, and every option of every group, composes and runs."""

from pathlib import Path

import pytest

from scaling import config, results

GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
    for folder in sorted(config.FOLDER.iterdir())
    if folder.is_dir() and folder.name not in ("hydra", "experiment")
}
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options]
EXPERIMENTS = sorted(file.stem for file in (config.FOLDER / "experiment").glob("*.yaml"))
HEADER = ("Question:", "Command:", "Cost:", "Expected:")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_at_scale_tiny_and_reports(command, name):
    ended = command(f"experiment={name}", "scale=tiny", "workers=0", small=False)
    assert ended.code == 0, ended.err
    rows = results.read(Path("multirun", name))
    assert set(rows["status"]) == {"done"}
    assert 2 <= len(rows) <= 16
    assert "Validation loss" in ended.out


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_asks_and_what_it_costs(name):
    text = (config.FOLDER / "experiment" / f"{name}.yaml").read_text()
    for line in HEADER:
        assert f"# {line}" in text
    assert f"experiment={name}" in text


def test_the_quickstart_is_the_grid_that_the_readme_shows(command, monkeypatch):
    from scaling import sweep

    seen = []
    monkeypatch.setattr(sweep, "work", lambda cells, launcher: seen.extend(cells) or 0)
    assert command("experiment=quickstart", small=False).code == 0
    grid = {(cell.config["batch"], cell.config["lr"]) for cell in seen}
    assert grid == {(b, lr) for b in (8, 16, 32, 64) for lr in (3e-4, 1e-3, 3e-3, 1e-2)}
    assert {cell.config["steps"] for cell in seen} == {300}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_composes_and_runs(command, folder, group, option):
    (folder / "data").mkdir()
    for name in ("train", "valid"):
        (folder / "data" / f"{name}.txt").write_text("To be, or not to be. " * 100)
    path = [] if option == "pydoc" or group != "data" else ["data.path=data"]
    ended = command(f"{group}={option}", *path)
    assert ended.code == 0, ended.err
    (row,) = results.read("multirun").itertuples()
    assert row.status == "done"
