"""A wheel has all that a run needs, including the config."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel's files, unpacked as pip would do it."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(ROOT)],
        check=True,
    )
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


def test_a_run_works_from_a_wheel_in_another_folder(installed, folder):
    for file in ("conf/config.yaml", "reporting/page.html", "studies/captions.toml"):
        assert (installed / "scaling" / file).exists()
    small = ["model.d_model=16", "model.heads=2", "data.context=16", "data.val_windows=8"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    place = "import scaling; print(scaling.__file__)"
    ended = subprocess.run(
        [sys.executable, "-c", place], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith(str(installed))
    for arguments in (["steps=20"], ["-m", "steps=20", "seed=1,2"]):
        ended = subprocess.run(
            [sys.executable, "-m", "scaling.train", *arguments, *small],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    assert len(list(folder.glob("multirun/scratch/*/row.json"))) == 3
    report = [sys.executable, "-m", "scaling.report", "multirun/scratch"]
    ended = subprocess.run(report, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "multirun" / "scratch" / "report" / "index.html").exists()


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    top = {path.name for path in installed.iterdir()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"scaling", "hydra_plugins"}
