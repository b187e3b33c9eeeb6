"""Rules on imports that `make check` cannot test; the others are in pyproject.toml."""

import ast
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "src" / "hydra_plugins" / "scaling"


def test_the_hydra_plugins_are_light_at_import():
    for path in PLUGINS.glob("*.py"):
        top = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)
        ]
        assert not [
            node.module for node in top if (node.module or "").startswith(("scaling", "torch"))
        ]


def test_the_commands_that_read_import_no_torch():
    code = (
        "import sys, scaling.status, scaling.report, scaling.reporting.build; "
        "print(*{'torch', 'lightning', 'hydra', 'omegaconf'} & sys.modules.keys())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_help_of_a_command_imports_no_torch_and_no_pandas():
    code = (
        "import sys, contextlib, io; sys.argv = ['train', '--help']; "
        "from scaling.train import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        "print(*{'torch', 'lightning', 'pandas', 'numpy'} & sys.modules.keys())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""
