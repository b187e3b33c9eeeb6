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


# as `python -m` does, in one process
COMMANDS = """
import runpy, sys
import scaling
print(scaling.__file__, flush=True)
for line in sys.stdin.read().splitlines():
    name, *sys.argv[1:] = line.split()
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        assert not ended.code, line
"""


def test_a_run_works_from_a_wheel_in_another_folder(installed, folder):
    for file in (
        "conf/config.yaml",
        "reporting/page.html",
        "reporting/page.js",
        "studies/captions.toml",
    ):
        assert (installed / "scaling" / file).exists()
    small = "steps=20 model.d_model=16 model.heads=2 data.context=16 data.val_windows=8"
    typed = [
        f"scaling.train {small}",
        f"scaling.train -m {small} seed=1 workers=0",
        "scaling.report multirun/scratch",
    ]
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS], input="\n".join(typed),
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(str(installed))
    assert len(list(folder.glob("multirun/scratch/*/row.json"))) == 2
    assert (folder / "multirun" / "scratch" / "report" / "index.html").exists()


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    top = {path.name for path in installed.iterdir()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"scaling", "hydra_plugins"}
