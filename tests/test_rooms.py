"""What `make check` cannot see of who imports whom: the rest stands in pyproject.toml."""

import ast
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "src" / "hydra_plugins" / "scaling"


def test_the_door_for_hydra_is_light_at_import():
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
